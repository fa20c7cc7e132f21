#!/usr/bin/env -S bash -u -e -o pipefail
# Runs the test suite on the other kinds of device: `pwrite`, with io_uring forbidden by a seccomp filter; and buffered
# writes, on a file system in memory, which has no direct I/O. (`cargo test` alone uses the best kind that works.) Of the
# library's own tests those that write files run; the examples of the documentation show the same on every device.

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -eq 0 ] || usage '
Runs the tests that write files without io_uring, then without direct I/O.
Exit status: that of the first run that fails.'

need cargo cargo
need perl perl
enter_package

# run_tests [NAME=VALUE]: runs them in this environment.
run_tests() {
    # Without --examples the library that a test loads would not be built.
    env "$@" cargo test --locked --all-features --test '*' --examples
    env "$@" cargo test --locked --all-features --lib -- device:: writer:: segment:: recovery:: snapshot::
}

triple=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')

say "without io_uring"
run_tests "CARGO_TARGET_${triple}_RUNNER=$PWD/scripts/without_io_uring"

say "without direct I/O, in /dev/shm"
make_scratch /dev/shm
# Some tests change to another user, who must reach the directory.
chmod 711 "$scratch"
run_tests "DIOLOG_TEST_ROOT=$scratch"
