#!/usr/bin/env -S bash -u -e -o pipefail
# Runs the test suite on the other kinds of device: `pwrite`, with io_uring forbidden by a seccomp filter; and buffered
# writes, on a file system in memory, which has no direct I/O. (`cargo test` alone uses the best kind that works.) The
# examples of the documentation are left out: they show the same on every device.

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -eq 0 ] || usage '
Runs the tests of cargo test --all-features without io_uring, then without direct I/O.
Exit status: that of the first run that fails.'

need cargo cargo
need perl perl
enter_package
# Without --examples the library that a test loads would not be built.
readonly TESTS=(--locked --all-features --lib --bins --tests --examples)
triple=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')

say "without io_uring"
env "CARGO_TARGET_${triple}_RUNNER=$PWD/scripts/without_io_uring" cargo test "${TESTS[@]}"

say "without direct I/O, in /dev/shm"
make_scratch /dev/shm
# Some tests change to another user, who must reach the directory.
chmod 711 "$scratch"
DIOLOG_TEST_ROOT=$scratch cargo test "${TESTS[@]}"
