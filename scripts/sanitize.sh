#!/usr/bin/env -S bash -u -e -o pipefail
# The tests under a sanitizer. RUSTC_BOOTSTRAP makes the stable compiler accept the unstable flag.
#
# ThreadSanitizer checks the threaded tests of the ring and of the gate, which order their accesses with their own atomics.
# The standard library is not instrumented, so ThreadSanitizer does not see all of its synchronisation. AddressSanitizer
# checks all of the library's tests, and with them all `unsafe` code.

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
# A failed allocation is an error that the tests expect, not the end of the process.
export TSAN_OPTIONS=allocator_may_return_null=1:suppressions=$PWD/scripts/thread_sanitizer.supp
# The append flag is an address on its thread's stack. To find uses after a return, AddressSanitizer would put local
# variables elsewhere.
export ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=0:detect_stack_use_after_return=0
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Zsanitizer=$sanitizer -Cunsafe-allow-abi-mismatch=sanitizer"
export CARGO_TARGET_DIR=target/sanitize-$sanitizer
cargo test --locked --features unstable --target "$triple" --lib -- "${tests[@]}"
