//! The CPU's counter, and the clocks that it is compared with. Called by `clock`.

#![allow(unsafe_code, reason = "instructions that have no safe form")]

use rustix::time::{ClockId, Timespec, clock_gettime};

const NS_PER_SECOND: i64 = 1_000_000_000;

/// The kernel's list of the counters that it trusts to keep time on this machine.
const CLOCK_SOURCES: &str = "/sys/devices/system/clocksource/clocksource0/available_clocksource";

/// The CPU's counter. Meaningful only if [`counter_is_steady`].
#[inline(always)]
pub(crate) fn counter() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 CPU has the instruction. If the process may not use it, `counter_is_steady` is false, and
    // this is not called.
    return unsafe { std::arch::x86_64::_rdtsc() };
    #[cfg(target_arch = "aarch64")]
    {
        let ticks: u64;
        // SAFETY: reads a register that processes may read on Linux.
        unsafe { std::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags)) };
        return ticks;
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return monotonic_ns();
}

/// The counter, read after all instructions before it have executed: for timing code, not for stamping records.
#[cfg(feature = "unstable")]
#[inline(always)]
pub(crate) fn counter_in_order() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        let mut cpu = 0;
        // SAFETY: every x86-64 CPU with a steady counter has the instruction.
        unsafe { std::arch::x86_64::__rdtscp(&mut cpu) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    return counter();
}

/// Whether the counter runs at one rate on all CPUs, independent of their frequency and sleep states. Both the CPU and
/// the kernel must say so; the kernel checks the counter at boot and while running, and drops an unstable one from its
/// list.
pub(crate) fn counter_is_steady() -> bool {
    cpu_promises_a_steady_counter() && kernel_trusts_the_counter(std::fs::read_to_string(CLOCK_SOURCES).ok().as_deref())
}

#[cfg(target_arch = "x86_64")]
fn cpu_promises_a_steady_counter() -> bool {
    use std::arch::x86_64::__cpuid;
    const ADVANCED_POWER: u32 = 0x8000_0007;
    const INVARIANT_TSC: u32 = 1 << 8;
    #[allow(unused_unsafe, reason = "safe only in compilers newer than the oldest supported one")]
    // SAFETY: every x86-64 CPU has the instruction.
    let leaf = |number| unsafe { __cpuid(number) };
    // A CPU answers a leaf above its highest with the bits of another leaf.
    leaf(0x8000_0000).eax >= ADVANCED_POWER && leaf(ADVANCED_POWER).edx & INVARIANT_TSC != 0
}

#[cfg(target_arch = "aarch64")]
fn cpu_promises_a_steady_counter() -> bool {
    // The architecture guarantees it.
    true
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn cpu_promises_a_steady_counter() -> bool {
    false
}

/// `sources` is the kernel's list, or `None` if it cannot be read (a sandbox without /sys): then the CPU alone decides.
fn kernel_trusts_the_counter(sources: Option<&str>) -> bool {
    let counter = if cfg!(target_arch = "aarch64") { "arch_sys_counter" } else { "tsc" };
    sources.is_none_or(|sources| sources.split_whitespace().any(|source| source == counter))
}

/// `CLOCK_MONOTONIC`, in nanoseconds.
#[inline]
pub(crate) fn monotonic_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic)) as u64
}

/// `CLOCK_REALTIME`, in nanoseconds since 1970.
pub(crate) fn unix_ns() -> i64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(NS_PER_SECOND).saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_trusts_the_counters_on_its_list_and_all_without_one() {
        assert!(kernel_trusts_the_counter(None));
        assert!(!kernel_trusts_the_counter(Some("")));
        assert!(!kernel_trusts_the_counter(Some("kvm-clock hpet acpi_pm \n")));
        assert!(!kernel_trusts_the_counter(Some("tsc-early\n")));
        if cfg!(target_arch = "x86_64") {
            assert!(kernel_trusts_the_counter(Some("kvm-clock tsc hpet acpi_pm \n")));
        }
    }

    #[test]
    fn the_monotonic_clock_is_the_kernels_and_does_not_go_backwards() {
        let first = monotonic_ns();
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` outlives the call.
        assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) }, 0);
        let middle = time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64;
        assert!(first <= middle && middle <= monotonic_ns());
    }
}
