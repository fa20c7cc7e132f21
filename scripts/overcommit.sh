#!/usr/bin/env -S bash -u -e -o pipefail
# Rings where the kernel counts address space as memory (vm.overcommit_memory is 2). The setting is the whole machine's, so
# the test runs under a kernel of its own: User-mode Linux, an ordinary process with this machine's files.
#
# In `cargo test`, the same test only tells the log of the setting; here the kernel counts as well.

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly USAGE='
Runs the test of tests/ring_memory_stays_within_its_budget.rs about a system where address space counts as memory.
Needs root. Exit status: that of the test; 3 not measured.'

[ $# -eq 0 ] || usage "$USAGE"
need cargo cargo
need jq jq
need linux.uml user-mode-linux
need strace strace
[ "$(id -u)" -eq 0 ] || cannot "only root may set vm.overcommit_memory, there too"
enter_package
make_scratch "$PWD/target"
say "building"
test=$(cargo test --locked --all-features --test ring_memory_stays_within_its_budget --no-run --message-format json |
    jq -r 'select(.target.kind == ["test"] and .executable != null) | .executable')

cat >"$scratch/init" <<END
#!/bin/sh
export PATH="$PATH" HOME="$HOME"
mount -t proc proc /proc
mount -t tmpfs tmpfs /dev/shm
echo 2 >/proc/sys/vm/overcommit_memory
cd "$PWD"
{
    uname -srm
    echo "vm.overcommit_memory: \$(cat /proc/sys/vm/overcommit_memory)"
    grep Commit /proc/meminfo
    "$test" --exact rings_work_without_a_reserve_where_address_space_counts_as_memory --nocapture
    echo \$? >"$scratch/status"
} >"$scratch/output" 2>&1
poweroff -f
END
chmod +x "$scratch/init"
readonly guest=(linux.uml rootfstype=hostfs rw mem=2G "init=$scratch/init" con=null con0=fd:0,fd:1 quiet)

# boot STRACE_OPTIONS...: runs the guest to its end, traced.
boot() {
    # With `exit` the subshell stays, and the file gets its message about a guest that was aborted.
    (strace -o "$scratch/calls" -e trace=ptrace -e signal=none "$@" "${guest[@]}" </dev/null || exit) \
        >"$scratch/console" 2>&1 || true
}

say "booting"
boot
if [ ! -f "$scratch/status" ]; then
    # It keeps 2,696 bytes of a process's registers. A processor with more (AMX) takes that for an error; without the
    # call that reads them it is content with those of SSE.
    reading=$(sed '/PTRACE_GETREGSET/q' "$scratch/calls" | wc -l)
    say "booting again, with the registers of SSE alone"
    boot -e inject=ptrace:error=EIO:when="$reading"
fi
[ -f "$scratch/status" ] || { tail -n 20 "$scratch/console" >&2; cannot "User-mode Linux does not run here"; }
cat "$scratch/output"
exit "$(cat "$scratch/status")"
