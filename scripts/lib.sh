# shellcheck shell=bash
# shellcheck disable=SC2034 # the scripts that source this use its variables
# Shared by the scripts: finding tools, a temporary directory, building the program, arithmetic, and the description of
# the machine in reports. Sourced, not run.

# A command that fails inside $(...) ends the script, as it does outside.
shopt -s inherit_errexit

# Set by the functions below.
diolog=''
scratch=''
children=()

# Exit status of all scripts, besides 0 for success.
readonly BELOW=1        # measured, and a figure is out of its limits
readonly UNUSABLE=3     # not measured: a tool, space or a permission is missing
readonly MISUSED=64     # invalid command line

# say MESSAGE...: prints a message on standard error.
say() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# cannot MESSAGE...: ends because nothing can be measured.
cannot() {
    say "$@"
    exit "$UNUSABLE"
}

# usage TEXT: ends because of an invalid command line.
usage() {
    printf 'usage: %s %s\n' "$0" "$1" >&2
    exit "$MISUSED"
}

# need COMMAND PACKAGE: ends with the Debian package's name if the command is missing.
need() {
    command -v "$1" >/dev/null || cannot "$1 is missing: apt-get install $2"
}

# enter_package: changes to the package's directory. Make paths from the command line absolute before.
enter_package() {
    cd "$(dirname "${BASH_SOURCE[0]}")/.." || cannot "the package's directory cannot be entered"
}

# build_diolog: builds the command line of this checkout, and sets `diolog` to its path.
build_diolog() {
    need cargo cargo
    need jq jq
    say "building diolog"
    # Cargo prints the path of the program, whatever the target directory is called.
    diolog=$(cargo build --release --locked --features cli --bin diolog --message-format json |
        jq -r 'select(.reason == "compiler-artifact" and .executable != null) | .executable')
    [ -x "$diolog" ] || cannot "cargo did not build diolog"
}

# make_scratch DIR: makes a directory in DIR, sets `scratch` to its path, and removes it when the script ends in any
# way. Processes whose ids are in `children` are ended first.
make_scratch() {
    mkdir -p "$1" || cannot "cannot make a directory in $1"
    scratch=$(mktemp -d "$1/diolog-script.XXXXXX") || cannot "cannot make a directory in $1"
    trap 'leave "$?"' EXIT
    trap 'exit 130' INT TERM HUP
}

# leave STATUS: cleans up and exits; called by the trap of make_scratch.
leave() {
    local child
    for child in "${children[@]}"; do
        # It may have ended by itself.
        kill "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    done
    rm -rf "$scratch"
    exit "$1"
}

# calculate EXPRESSION: prints its value, by awk.
calculate() {
    awk "BEGIN { OFMT = \"%.10g\"; print ($1) }"
}

# holds EXPRESSION: succeeds if it is true, by awk.
holds() {
    awk "BEGIN { exit !($1) }"
}

# median: the median of the numbers on standard input, one on each line.
median() {
    sort -g | awk '{ value[NR] = $1 } END {
        OFMT = "%.10g"
        print (value[int((NR + 1) / 2)] + value[int(NR / 2) + 1]) / 2
    }'
}

# spread: the difference between the largest and the smallest number on standard input, in per cent of the median.
spread() {
    sort -g | awk '{ value[NR] = $1 } END {
        middle = (value[int((NR + 1) / 2)] + value[int(NR / 2) + 1]) / 2
        printf "%.0f\n", (value[NR] - value[1]) / middle * 100
    }'
}

# device_of DIR: the name of the block device of DIR's file system, as in /sys/class/block and iostat.
device_of() {
    local source
    source=$(df --output=source "$1" | tail -n 1)
    [ -b "$source" ] || cannot "the file system of $1 is not on a block device but on \"$source\""
    basename "$(readlink -f "$source")"
}

# describe_machine DIR: prints the properties of the machine that figures measured in DIR depend on, as lines
# "name: value".
describe_machine() {
    local device
    device=$(device_of "$1")
    printf 'commit: %s\n' "$(git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)"
    printf 'processor: %s, %s CPUs\n' "$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)"
    printf 'memory: %s\n' "$(awk '/^MemTotal/ { printf "%.1f GiB", $2 / 1048576 }' /proc/meminfo)"
    printf 'kernel: %s\n' "$(uname -srm)"
    printf 'file system: %s\n' "$(df --output=fstype "$1" | tail -n 1)"
    printf 'mounted with: %s\n' "$(findmnt -no OPTIONS -T "$1")"
    printf 'device: %s\n' "$(describe_device "$device")"
    printf 'load before: %s\n' "$(cut -d ' ' -f 1-3 /proc/loadavg)"
}

# describe_device NAME: prints the kernel's description of the device and its queue.
describe_device() {
    local queue=/sys/class/block/$1/queue model
    # A partition has its disk's queue.
    [ -d "$queue" ] || queue=$(readlink -f "/sys/class/block/$1/..")/queue
    model=$(cat "$queue/../device/model" 2>/dev/null || echo 'no model')
    printf '%s (%s; scheduler %s, cache %s, FUA %s, largest request %s KiB)\n' "$1" "$(echo "$model" | xargs)" \
        "$(sed 's/.*\[\(.*\)\].*/\1/' "$queue/scheduler")" "$(cat "$queue/write_cache")" "$(cat "$queue/fua")" \
        "$(cat "$queue/max_sectors_kb")"
}
