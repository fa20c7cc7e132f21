#!/usr/bin/env -S bash -u -e -o pipefail
# The tests under a sanitizer. RUSTC_BOOTSTRAP makes the stable compiler accept the unstable flag.
#
# AddressSanitizer checks all of the library's tests, and with them all `unsafe` code; with `address-tests` also those
# in tests/. ThreadSanitizer checks the tests of the ring and of the gate, which order their accesses with their own
# atomics; with `thread-tests` the whole library, and those in tests/ that start threads. It cannot see how the kernel
# orders the two sides of an io_uring, so blocks are written by `pwrite` there. The standard library is not
# instrumented: thread_sanitizer.c tells ThreadSanitizer of its locks, and thread_sanitizer.supp has the false reports
# that remain.
#
# On two cores a build from scratch takes ten minutes. The tests of the library take a few minutes more; with those in
# tests/ it is an hour in all.

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly USAGE='thread|thread-tests|address|address-tests
Runs the tests under that sanitizer, in a target directory of its own. Exit status: that of the tests.'

# Programs of tests that say nothing under a sanitizer, or cannot run under it.
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
    [a_file_that_claims_more_rings_than_a_log_can_have_is_recovered_in_bounded_memory]='it keeps freed memory'
    [a_shared_reserve_is_not_populated_in_a_process_that_locks_its_memory]='the sanitizer cannot lock its memory'
    [appends_for_which_no_ring_can_be_made_are_lost_records_in_the_files]='limits the address space'
    [four_million_records_with_values_of_their_own_come_back_in_flat_memory]='the sanitizer keeps freed memory'
    [shared_reserves_take_a_small_part_of_a_limited_address_space]='limits the address space'
    [what_a_recorders_rings_hold_is_recovered_in_bounded_memory]='the sanitizer keeps freed memory'
)

[ $# -eq 1 ] || usage "$USAGE"
sanitizer=${1%-tests}
enter_package
chosen=(--features unstable --lib)
filters=()
if [ "$sanitizer" = thread ]; then
    left_out[a_forked_child_is_refused]='a child drops handles of threads, which the sanitizer has forgotten there'
    left_out[append_makes_no_system_call]='the sanitizer makes system calls'
    left_out[signals_disturb_nothing]='the sanitizer fails a check of its own (thr->slot) while signals keep coming'
    skipped[a_flipped_bit_of_the_account_in_a_ring_file_is_reported_or_costs_nothing]='of one thread; it takes too long'
    skipped[a_change_of_the_root_changes_nothing]='no symbols for the suppressions in the new root'
fi
case $1 in
    thread) filters=(ring:: gate::) ;;
    address | *-tests)
        for name in "${!skipped[@]}"; do
            filters+=(--skip "$name")
        done
        ;;&
    thread-tests | address-tests)
        # Without the command line, whose tests in tests/cli run the program.
        chosen=(--features unstable,signals,log,tracing,metrics,serde,time-zones --lib --no-fail-fast)
        files=(tests/*.rs)
        # The tests with threads of their own. Those that log from one thread show no more than the library's.
        [ "$sanitizer" = address ] || mapfile -t files < <(grep -lE 'thread::(spawn|scope)|scope\.spawn' "${files[@]}")
        for file in "${files[@]}"; do
            name=$(basename "$file" .rs)
            [ -n "${left_out[$name]-}" ] || chosen+=(--test "$name")
        done
        ;;
    address) ;;
    *) usage "$USAGE" ;;
esac

need cargo cargo
triple=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Zsanitizer=$sanitizer -Cunsafe-allow-abi-mismatch=sanitizer"
export CARGO_TARGET_DIR=target/sanitize-$sanitizer
export CARGO_INCREMENTAL=0
# Reports name lines.
export CARGO_PROFILE_DEV_DEBUG=line-tables-only
reports=$PWD/$CARGO_TARGET_DIR/reports

# wrap NAME FUNCTION: thread_sanitizer.c wraps the standard library's FUNCTION, a pattern of its mangled path, as NAME.
definitions=()
wrap() {
    local symbol
    symbol=$(grep -oE "_(R|ZN)[[:alnum:]_]*3std[[:alnum:]_]*$2(17h[0-9a-f]{16}E)?\$" <<< "$symbols" | sort -u)
    [ "$(wc -w <<< "$symbol")" -eq 1 ] || cannot "$2 is not one function of this compiler's standard library: $symbol"
    definitions+=("-D$1=$symbol")
    RUSTFLAGS+=" -Clink-arg=-Wl,--wrap=$symbol"
}

# tell_thread_sanitizer: links thread_sanitizer.c into the tests.
tell_thread_sanitizer() {
    local object=$PWD/$CARGO_TARGET_DIR/thread_sanitizer.o named symbols function
    need cc gcc
    need readelf binutils
    # The suppressions name functions, which the sanitizer asks one of these for.
    command -v llvm-symbolizer > /dev/null || need addr2line binutils
    # Its members that are no objects are none of ours.
    symbols=$(readelf -sW "$(rustc --print target-libdir)"/libstd-*.rlib 2> /dev/null || true)
    # A path's segments have their lengths before them, and between them may stand marks of the mangling.
    wrap MUTEX_LOCK_CONTENDED '4sync5mutex5futex(NtB[[:alnum:]]*_)?5Mutex14lock_contended'
    wrap RWLOCK_READ_CONTENDED '4sync6rwlock5futex(NtB[[:alnum:]]*_)?6RwLock14read_contended'
    wrap RWLOCK_WRITE_CONTENDED '4sync6rwlock5futex(NtB[[:alnum:]]*_)?6RwLock15write_contended'
    wrap CONDVAR_WAIT '4sync7condvar5futex(NtB[[:alnum:]]*_)?7Condvar4wait'
    wrap CONDVAR_WAIT_TIMEOUT '4sync7condvar5futex(NtB[[:alnum:]]*_)?7Condvar12wait_timeout'
    wrap ONCE_CALL '4sync4once5futex(NtB[[:alnum:]]*_)?4Once4call'
    wrap BARRIER_WAIT '4sync7barrier(NtB[[:alnum:]]*_)?7Barrier4wait'
    wrap SCOPE_LEAVE '6thread6scoped(NtB[[:alnum:]]*_)?9ScopeData29decrement_num_running_threads'
    for function in __tsan_atomic64_fetch_sub __tsan_atomic_thread_fence; do
        RUSTFLAGS+=" -Clink-arg=-Wl,--wrap=$function"
    done
    mkdir -p "$CARGO_TARGET_DIR"
    # A dependency is also linked as a shared library.
    cc -O2 -fPIC -ftls-model=initial-exec -Wall -Werror "${definitions[@]}" -c scripts/thread_sanitizer.c -o "$object"
    # A changed one has another name, so that cargo links the tests again.
    named=${object%.o}-$(cksum < "$object" | cut -d ' ' -f 1).o
    mv "$object" "$named"
    RUSTFLAGS+=" -Clink-arg=$named"
}

# check_thread_sanitizer: the races of thread_sanitizer.rs are reported, and no other of its accesses.
check_thread_sanitizer() {
    local program=$CARGO_TARGET_DIR/thread_sanitizer race status flags
    read -ra flags <<< "$RUSTFLAGS"
    rustc --edition 2024 -Copt-level=1 "${flags[@]}" scripts/thread_sanitizer.rs -o "$program"
    "$program" ordered || cannot "ThreadSanitizer reports accesses that the standard library orders"
    for race in unlocked unfenced; do
        status=0
        "$program" "$race" 2> /dev/null || status=$?
        # ThreadSanitizer's exit status if it has reported something.
        [ "$status" -eq 66 ] || cannot "ThreadSanitizer does not report the race \"$race\""
    done
}

# A failed allocation is an error that the tests expect, not the end of the process. Reports go to files, because the
# output of children is not always shown.
options=allocator_may_return_null=1:log_path=$reports/report
case $sanitizer in
    thread)
        need perl perl
        tell_thread_sanitizer
        # By libc, not by rustix itself, so that ThreadSanitizer sees that memory is mapped and unmapped.
        chosen+=(--features rustix/use-libc)
        suppressions=suppressions=$PWD/scripts/thread_sanitizer.supp
        TSAN_OPTIONS=$suppressions check_thread_sanitizer
        # Tests fork while threads run, and the child starts threads of its own; they end a process while logs are open,
        # and nobody joins their threads; and they exit in a signal handler, where the drain allocates.
        export TSAN_OPTIONS=$options:$suppressions:die_after_fork=0:report_thread_leaks=0:report_signal_unsafe=0
        runner=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<< "$triple")_RUNNER
        export "$runner=$PWD/scripts/without_io_uring"
        ;;
    address)
        # The append flag is an address on its thread's stack. To find uses after a return, AddressSanitizer would put
        # local variables elsewhere.
        export ASAN_OPTIONS=$options:detect_leaks=0:detect_stack_use_after_return=0
        ;;
esac

rm -rf "$reports"
# Some tests change to another user.
mkdir -p "$reports"
chmod 1777 "$reports"
status=0
cargo test --locked --target "$triple" "${chosen[@]}" -- "${filters[@]}" || status=$?
for report in "$reports"/*; do
    # Not a warning of a failed allocation. Children that end by SIGSEGV are judged by their tests, which may send it.
    if [ -e "$report" ] && grep -q '^SUMMARY: ' "$report" && ! grep -q ': SEGV on unknown address' "$report"; then
        cat "$report" >&2
        status=$BELOW
    fi
done
exit "$status"
