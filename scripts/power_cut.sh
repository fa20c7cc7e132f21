#!/usr/bin/env -S bash -u -e -o pipefail
# Cuts the power of a disk with a journaled ext4 while a log is written to it, and compares the log with what a separate
# process had been told: tests/a_power_cut_of_a_mounted_disk_loses_nothing.rs, on each kind of device.
#
# qemu-storage-daemon records the writes and flushes of the disk. Each image of it, as it may be after a cut, is mounted.

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly USAGE='RUNS
Prints a table for each kind of device, with a row for each recorded run of three processes that log one after the other.
Needs root. Exit status: 0 if nothing was lost, doubled or torn; otherwise the seed of the run is shown; 3 not measured.'

[ $# -eq 1 ] && [[ $1 =~ ^[1-9][0-9]*$ ]] || usage "$USAGE"
need cargo cargo
need qemu-storage-daemon "qemu-system-common, or qemu-utils"
need mkfs.ext4 e2fsprogs
need losetup mount
[ "$(id -u)" -eq 0 ] || cannot "only root may mount a disk"
[ -c /dev/fuse ] || cannot "/dev/fuse is missing: modprobe fuse"
enter_package
make_scratch target
readonly run=(cargo test --quiet --locked --all-features --test a_power_cut_of_a_mounted_disk_loses_nothing)
say "building"
"${run[@]}" --no-run
for device in io_uring pwrite buffered; do
    say "$1 runs by $device"
    DIOLOG_RUNS=$1 DIOLOG_TEST_DEVICE=$device "${run[@]}" -- --ignored --nocapture --test-threads 1 2>&1 |
        tee "$scratch/output"
    ! grep -q 'NOT SHOWN HERE' "$scratch/output" || cannot "see above"
done
