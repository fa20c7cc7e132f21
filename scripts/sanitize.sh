#!/usr/bin/env -S bash -u -e -o pipefail
# The tests under a sanitizer, which the stable compiler has behind a switch.
#
# ThreadSanitizer watches the threaded tests of the ring and of the gate, which order their accesses by atomics of their
# own; of what the standard library orders it sees only half. AddressSanitizer watches the library's tests, and so
# whatever is `unsafe`.

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly USAGE='thread|address
Runs the tests under that sanitizer, in a target directory of its own. Exit status: that of the tests.'

[ $# -eq 1 ] || usage "$USAGE"
sanitizer=$1
case $sanitizer in
    thread) tests=(ring:: gate::) ;;
    address) tests=() ;;
    *) usage "$USAGE" ;;
esac

need cargo cargo
enter_package
triple=$(rustc -vV | sed -n 's/^host: //p')
# Memory that cannot be had is an error here as elsewhere, not the end.
export TSAN_OPTIONS=allocator_may_return_null=1:suppressions=$PWD/scripts/thread_sanitizer.supp
export ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=0
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Zsanitizer=$sanitizer -Cunsafe-allow-abi-mismatch=sanitizer"
export CARGO_TARGET_DIR=target/sanitize-$sanitizer
cargo test --locked --features unstable --target "$triple" --lib -- "${tests[@]}"
