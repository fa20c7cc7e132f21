#!/usr/bin/env -S bash -u -e -o pipefail
# The tests under a sanitizer. RUSTC_BOOTSTRAP makes the stable compiler accept the unstable flag.
#
# ThreadSanitizer checks the threaded tests of the ring and of the gate, which order their accesses with their own atomics.
# The standard library is not instrumented, so ThreadSanitizer does not see all of its synchronisation. AddressSanitizer
# checks all of the library's tests, and with them all `unsafe` code; with `address-tests` also those in tests/.

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly USAGE='thread|address|address-tests
Runs the tests under that sanitizer, in a target directory of its own. Exit status: that of the tests.'

# Programs of tests that say nothing under AddressSanitizer, or cannot run under it.
declare -A left_out=(
    [a_library_that_logs_may_be_unloaded]='loads a library that is built without the sanitizer'
    [macro_errors_name_the_remedy]='compares errors of the compiler'
    [memory_stays_flat]='the sanitizer keeps freed memory'
    [recovery_is_bounded]='the sanitizer keeps freed memory'
    [refused_resources_are_errors]='limits the address space, of which the sanitizer takes terabytes'
    [ring_memory_stays_within_its_budget]='the sanitizer keeps freed memory'
    [the_memory_of_an_engine_is_bounded]='the sanitizer keeps freed memory'
)

# The same for single tests.
declare -A skipped=(
    [a_file_that_claims_more_rings_than_a_log_can_have_is_recovered_in_bounded_memory]='the sanitizer keeps freed memory'
    [a_shared_reserve_is_not_populated_in_a_process_that_locks_its_memory]='the sanitizer cannot lock its memory'
    [appends_for_which_no_ring_can_be_made_are_lost_records_in_the_files]='limits the address space'
    [four_million_records_with_values_of_their_own_come_back_in_flat_memory]='the sanitizer keeps freed memory'
    [shared_reserves_take_a_small_part_of_a_limited_address_space]='limits the address space'
)

[ $# -eq 1 ] || usage "$USAGE"
sanitizer=${1%-tests}
enter_package
chosen=(--features unstable --lib)
filters=()
case $1 in
    thread) filters=(ring:: gate::) ;;
    address | address-tests)
        for name in "${!skipped[@]}"; do
            filters+=(--skip "$name")
        done
        ;;&
    address) ;;
    address-tests)
        # Without the command line, whose tests in tests/cli run the program.
        chosen=(--features unstable,signals,log,tracing,metrics,serde,time-zones --lib --no-fail-fast)
        for file in tests/*.rs; do
            name=$(basename "$file" .rs)
            [ -n "${left_out[$name]-}" ] || chosen+=(--test "$name")
        done
        ;;
    *) usage "$USAGE" ;;
esac

need cargo cargo
triple=$(rustc -vV | sed -n 's/^host: //p')
# A failed allocation is an error that the tests expect, not the end of the process.
export TSAN_OPTIONS=allocator_may_return_null=1:suppressions=$PWD/scripts/thread_sanitizer.supp
# The append flag is an address on its thread's stack. To find uses after a return, AddressSanitizer would put local
# variables elsewhere.
export ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=0:detect_stack_use_after_return=0
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Zsanitizer=$sanitizer -Cunsafe-allow-abi-mismatch=sanitizer"
export CARGO_TARGET_DIR=target/sanitize-$sanitizer
cargo test --locked --target "$triple" "${chosen[@]}" -- "${filters[@]}"
