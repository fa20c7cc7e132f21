//! Linux calls of the tests that have no safe wrapper.
#![allow(unsafe_code, reason = "calls the C library")]

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    // SAFETY: takes no argument and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Changes this process with all its threads to another user, for good, and its working directory to `directory`: the
/// user may have no right to the directories above it, and reaches it as `.`.
pub(crate) fn become_user(id: u32, directory: &Path) {
    std::env::set_current_dir(directory).expect("a directory");
    // SAFETY: the empty list is not read; the others take numbers.
    check(unsafe { libc::setgroups(0, std::ptr::null()) | libc::setgid(id) | libc::setuid(id) }).expect("root may");
}

/// Sets the soft limit of this process for `resource`; the hard one stays.
pub(crate) fn set_limit(resource: libc::__rlimit_resource_t, value: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives both calls.
    unsafe {
        check(libc::getrlimit(resource, &raw mut limit)).expect("a known resource");
        limit.rlim_cur = value.min(limit.rlim_max);
        check(libc::setrlimit(resource, &raw const limit)).expect("below the hard limit");
    }
}

/// Lets this process ignore a signal.
pub(crate) fn ignore_signal(signal: libc::c_int) {
    // SAFETY: ignoring runs no code.
    assert_ne!(unsafe { libc::signal(signal, libc::SIG_IGN) }, libc::SIG_ERR);
}

/// Gives a signal its default effect on this process: a shell that starts one in the background ignores some.
pub(crate) fn reset_signal(signal: libc::c_int) {
    // SAFETY: the default runs no code of the process.
    assert_ne!(unsafe { libc::signal(signal, libc::SIG_DFL) }, libc::SIG_ERR);
}

/// Calls `handler`, which must be async-signal-safe, at a signal. The signal interrupts system calls (no SA_RESTART).
pub(crate) fn handle_signal(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) {
    // SAFETY: all zeros is a `sigaction` with an empty mask and no flags; the handler has the right signature.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        check(libc::sigaction(signal, &raw const action, std::ptr::null_mut())).expect("a signal that can be handled");
    }
}

/// Sends a signal to a process.
pub(crate) fn send_signal(process: u32, signal: libc::c_int) {
    // SAFETY: takes numbers; the process is a child of ours that has not been waited for.
    check(unsafe { libc::kill(process as libc::pid_t, signal) }).expect("a child of ours");
}

/// Sends a signal to one thread of this process; nothing happens if it has ended.
pub(crate) fn send_signal_to_thread(thread: u32, signal: libc::c_int) {
    // SAFETY: takes numbers.
    unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), thread, signal) };
}

/// Sends a signal to one thread of this process again and again, until `stop` returns true.
pub(crate) fn send_signals_to_thread(thread: u32, signal: libc::c_int, stop: impl Fn() -> bool) {
    while !stop() {
        send_signal_to_thread(thread, signal);
        std::thread::yield_now();
    }
}

/// Blocks these signals on the calling thread, and those that it starts from now on.
pub(crate) fn block_signals(signals: &[libc::c_int]) {
    change_mask(libc::SIG_BLOCK, signals);
}

/// Lets the calling thread take these signals.
pub(crate) fn unblock_signals(signals: &[libc::c_int]) {
    change_mask(libc::SIG_UNBLOCK, signals);
}

fn change_mask(how: libc::c_int, signals: &[libc::c_int]) {
    // SAFETY: zeros are a set of signals, which lives until the last call has read it.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        assert_eq!(libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut()), 0);
    }
}

/// The signals that a thread of this process blocks: a bit for each, signal 1 the lowest.
pub(crate) fn blocked_signals(thread: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/self/task/{thread}/status")).expect("a thread");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("a line");
    u64::from_str_radix(mask.trim(), 16).expect("hexadecimal")
}

/// Whether the calling thread has the name of one of the library's. Async-signal-safe.
pub(crate) fn is_on_thread_of_library() -> bool {
    let mut name = [0_u8; 16];
    // SAFETY: the kernel writes at most 16 bytes.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    name.starts_with(b"diolog-")
}

/// Waits until a thread of this process sleeps in the kernel.
pub(crate) fn wait_until_asleep(thread: u32) {
    let path = format!("/proc/self/task/{thread}/stat");
    // The state follows the name, which stands in brackets.
    let is_asleep = || {
        let stat = std::fs::read_to_string(&path).expect("a live thread");
        stat.rsplit_once(") ").expect("in proc(5)").1.starts_with('S')
    };
    while !is_asleep() {
        std::thread::yield_now();
    }
}

/// Waits until a thread of this process has gone to sleep in the kernel so many times from now on. Between two of them
/// it has done whatever it does when it wakes.
pub(crate) fn wait_for_sleeps(thread: u32, sleeps: u64) {
    let path = format!("/proc/self/task/{thread}/status");
    let count = || {
        let status = std::fs::read_to_string(&path).expect("a live thread");
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.expect("in proc(5)").trim().parse::<u64>().expect("a number")
    };
    let target = count() + sleeps;
    while count() < target {
        std::thread::yield_now();
    }
}

/// Waits until a child is stopped.
pub(crate) fn wait_until_stopped(child: u32) {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let waited = unsafe { libc::waitpid(child as libc::pid_t, &raw mut status, libc::WUNTRACED) };
    assert!(waited == child as libc::pid_t && libc::WIFSTOPPED(status), "{waited}, {status:#x}");
}

/// Forks, and runs `child` in the child process, which then exits at once. Returns the child's exit status, 101 if it
/// panicked.
///
/// In a process with threads, `child` may make only calls that are safe after a fork; an append is.
pub(crate) fn fork(child: impl FnOnce()) -> i32 {
    let status = status_of_fork(child);
    assert!(libc::WIFEXITED(status), "the child was ended by signal {}", libc::WTERMSIG(status));
    libc::WEXITSTATUS(status)
}

/// As [`fork`], of a child that a signal ends. Returns the signal.
pub(crate) fn fork_until_signal(child: impl FnOnce()) -> i32 {
    let status = status_of_fork(child);
    assert!(libc::WIFSIGNALED(status), "the child has exited with {}", libc::WEXITSTATUS(status));
    libc::WTERMSIG(status)
}

fn status_of_fork(child: impl FnOnce()) -> libc::c_int {
    // SAFETY: see above; `child` keeps to it.
    let process = unsafe { libc::fork() };
    if process == 0 {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
        // SAFETY: ends the process.
        unsafe { libc::_exit(if ended.is_ok() { 0 } else { 101 }) };
    }
    assert!(process > 0, "fork: {}", io::Error::last_os_error());
    let mut status = 0;
    // SAFETY: `status` outlives the call, and the child is ours.
    assert_eq!(unsafe { libc::waitpid(process, &raw mut status, 0) }, process);
    status
}

/// Calls `handler` when this process exits.
pub(crate) fn at_exit(handler: extern "C" fn()) {
    // SAFETY: the handler lives as long as the program.
    check(unsafe { libc::atexit(handler) }).expect("room for a handler");
}

/// Ends this process by `_exit`, without any handler.
pub(crate) fn exit_at_once(status: libc::c_int) -> ! {
    // SAFETY: takes a number.
    unsafe { libc::_exit(status) }
}

/// Ends this process by `quick_exit`, which calls the handlers of `at_quick_exit` alone.
pub(crate) fn quick_exit(status: libc::c_int) -> ! {
    unsafe extern "C" {
        fn quick_exit(status: libc::c_int) -> !;
    }
    // SAFETY: the declaration is that of the C standard; takes a number.
    unsafe { quick_exit(status) }
}

/// A shared library in memory.
pub(crate) struct Library(*mut libc::c_void);

// SAFETY: the loader's functions may be called from any thread.
unsafe impl Send for Library {}
// SAFETY: likewise.
unsafe impl Sync for Library {}

impl Library {
    /// Loads the library at `path`.
    pub(crate) fn load(path: &Path) -> Library {
        use std::os::unix::ffi::OsStrExt as _;
        let path = std::ffi::CString::new(path.as_os_str().as_bytes()).expect("no zero in a path");
        // SAFETY: the path lives through the call; the library's initialisation is that of Rust's runtime.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!library.is_null(), "{path:?} cannot be loaded");
        Library(library)
    }

    /// Calls its function `name`, which takes nothing and returns a number.
    pub(crate) fn call(&self, name: &std::ffi::CStr) -> i32 {
        // SAFETY: the library is loaded, and the name lives through the call.
        let function = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!function.is_null(), "no {name:?}");
        // SAFETY: the caller names a function of this type.
        let function: extern "C" fn() -> i32 = unsafe { std::mem::transmute(function) };
        function()
    }

    /// Gives it back to the loader, which unloads it unless something still needs it.
    pub(crate) fn unload(self) {
        // SAFETY: loaded once, and not used after this.
        assert_eq!(unsafe { libc::dlclose(self.0) }, 0);
    }
}

/// Lets the kernel send SIGALRM to this process a thousand times a second.
pub(crate) fn send_alarms_at_1_khz() {
    let millisecond = libc::timeval { tv_sec: 0, tv_usec: 1000 };
    let timer = libc::itimerval { it_interval: millisecond, it_value: millisecond };
    // SAFETY: `timer` outlives the call.
    check(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) }).expect("a timer");
}

/// The kernel's ids of this process's threads.
pub(crate) fn threads() -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("procfs");
    let id = |task: io::Result<std::fs::DirEntry>| task.expect("procfs").file_name().into_string().expect("a number");
    tasks.map(id).map(|id| id.parse().expect("a number")).collect()
}

/// The kernel's ids of this process's threads with that name.
pub(crate) fn threads_named(name: &str) -> Vec<u32> {
    // A thread may end between the two looks.
    let name_of = |id: u32| std::fs::read_to_string(format!("/proc/self/task/{id}/comm")).ok();
    threads().into_iter().filter(|id| name_of(*id).is_some_and(|found| found.trim_end() == name)).collect()
}

/// The kernel's ids of this process's threads that the library has started.
pub(crate) fn threads_of_library() -> Vec<u32> {
    let name_of = |id: &u32| std::fs::read_to_string(format!("/proc/self/task/{id}/comm")).unwrap_or_default();
    threads().into_iter().filter(|id| name_of(id).starts_with("diolog-")).collect()
}

/// Waits until this process has so many threads with that name, and returns the kernel's ids of them.
///
/// A thread that begins has the name of the one that made it until it takes its own, and one that was joined may still
/// be seen: the kernel wakes the joining thread first.
pub(crate) fn wait_for_threads(name: &str, count: usize) -> Vec<u32> {
    loop {
        let threads = threads_named(name);
        if threads.len() == count {
            return threads;
        }
        std::thread::yield_now();
    }
}

/// The kernel's id of the one thread of this process with that name.
pub(crate) fn thread_named(name: &str) -> u32 {
    wait_for_threads(name, 1)[0]
}

/// The kernel's id of the calling thread.
pub(crate) fn thread_id() -> u32 {
    // SAFETY: takes no argument and cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

/// Locks all memory that this process maps from now on.
pub(crate) fn lock_future_memory() -> io::Result<()> {
    // SAFETY: locks pages, changes nothing else.
    if unsafe { libc::mlockall(libc::MCL_FUTURE) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The resident memory of this process, in bytes.
pub(crate) fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("in proc(5)");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// Gives the calling thread a mount namespace of its own, and the threads and processes that it starts: their mounts
/// end with them.
///
/// # Errors
/// The kernel's, if it refuses the namespace.
pub(crate) fn make_mounts_private() -> io::Result<()> {
    let (none, root) = (std::ptr::null(), c"/".as_ptr());
    // SAFETY: all strings live through the calls, which change this thread's namespace alone: it is private.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS))?;
        check(libc::mount(none, root, none, libc::MS_REC | libc::MS_PRIVATE, none.cast()))
    }
}

/// Mounts the file or directory `from` over `to`.
///
/// # Errors
/// The kernel's, if it refuses the mount.
pub(crate) fn bind_mount(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let c_string = |path: &Path| std::ffi::CString::new(path.as_os_str().as_bytes()).expect("no zero in a path");
    let (from, to, none) = (c_string(from), c_string(to), std::ptr::null());
    // SAFETY: both strings live through the call.
    check(unsafe { libc::mount(from.as_ptr(), to.as_ptr(), none, libc::MS_BIND, none.cast()) })
}

/// Mounts a tmpfs with these options over `directory`.
///
/// # Errors
/// The kernel's, if it refuses the mount.
pub(crate) fn mount_tmpfs(directory: &Path, options: &str) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let c_string = |bytes: &[u8]| std::ffi::CString::new(bytes).expect("no zero in it");
    let (to, options) = (c_string(directory.as_os_str().as_bytes()), c_string(options.as_bytes()));
    // SAFETY: all strings live through the call.
    check(unsafe { libc::mount(c"tmpfs".as_ptr(), to.as_ptr(), c"tmpfs".as_ptr(), 0, options.as_ptr().cast()) })
}

/// Makes `directory` read-only for the calling thread and those it starts, in a mount namespace of its own.
///
/// # Errors
/// The kernel's, if it refuses the namespace or the mount.
pub(crate) fn make_read_only(directory: &std::path::Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(directory.as_os_str().as_bytes()).expect("no zero in a path");
    let none = std::ptr::null();
    let remount = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY;
    make_mounts_private()?;
    // SAFETY: as above.
    unsafe {
        check(libc::mount(path.as_ptr(), path.as_ptr(), none, libc::MS_BIND, none.cast()))?;
        check(libc::mount(none, path.as_ptr(), none, remount, none.cast()))
    }
}

/// The effect of a system call under a filter: see `seccomp(2)`.
#[derive(Clone, Copy)]
pub(crate) enum Fate {
    Allowed,
    /// It kills the process.
    Fatal,
    /// It does nothing and fails with this error number.
    Fails(libc::c_int),
}

impl Fate {
    fn action(self) -> u32 {
        match self {
            Fate::Allowed => libc::SECCOMP_RET_ALLOW,
            Fate::Fatal => libc::SECCOMP_RET_KILL_PROCESS,
            Fate::Fails(errno) => libc::SECCOMP_RET_ERRNO | errno as u32,
        }
    }
}

/// The threads that a filter applies to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    ThisThread,
    AllThreads,
}

/// Gives the `listed` system calls the effect `fate`, and all other ones `others`, for good.
pub(crate) fn filter_system_calls(who: Who, listed: &[libc::c_long], fate: Fate, others: Fate) {
    use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    // The system call's number is the first field of seccomp_data.
    let mut filter = vec![statement(BPF_LD | BPF_W | BPF_ABS, 0)];
    for call in listed {
        filter.push(libc::sock_filter { jf: 1, ..statement(BPF_JMP | BPF_JEQ | BPF_K, *call as u32) });
        filter.push(statement(BPF_RET | BPF_K, fate.action()));
    }
    filter.push(statement(BPF_RET | BPF_K, others.action()));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    let flags = if who == Who::AllThreads { libc::SECCOMP_FILTER_FLAG_TSYNC } else { 0 };
    // SAFETY: both calls only read their arguments; the program points to a live array of `len` instructions.
    let refused = unsafe {
        libc::c_long::from(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
            | libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    };
    assert_eq!(refused, 0, "no seccomp here: {}", io::Error::last_os_error());
}

/// Calls `prepare` with a new directory, then `child` as the user 65534, who owns nothing there: in a child process if
/// this one is root's. Returns the directory.
pub(crate) fn as_nobody(test: &str, prepare: impl FnOnce(&Path), child: impl FnOnce(&Path)) -> tempfile::TempDir {
    if super::role().is_some() {
        become_user(65534, &super::child_directory());
        child(Path::new("."));
        std::process::exit(0);
    }
    let directory = super::directory();
    prepare(directory.path());
    if is_root() {
        super::child::expect_success(test, "nobody", directory.path());
    } else {
        // Not root: modes of files apply to this process itself.
        child(directory.path());
    }
    directory
}

/// Sets the mode of the file or directory at `path`.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("the owner may");
}

/// Forks by the kernel's call alone, so that no handler of the C library runs, and lets the child wait until it is
/// killed, for two minutes at most. Returns its process id.
pub(crate) fn fork_and_wait() -> u32 {
    // SAFETY: the child makes system calls only.
    wait_in_child(unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) })
}

/// As [`fork_and_wait`], but forks by the C library, as programs do.
pub(crate) fn fork_by_the_library_and_wait() -> u32 {
    // SAFETY: the child makes system calls only.
    wait_in_child(unsafe { libc::fork() }.into())
}

/// Waits in the child that a fork has made; in the parent, returns the child's process id.
fn wait_in_child(forked: libc::c_long) -> u32 {
    if forked == 0 {
        // SAFETY: these take numbers, and the process ends here.
        unsafe {
            libc::alarm(120);
            loop {
                libc::pause();
            }
        }
    }
    u32::try_from(forked).unwrap_or_else(|_| panic!("fork: {}", io::Error::last_os_error()))
}

/// Changes the root directory of this process, and its working directory to that. For root alone.
pub(crate) fn change_root(directory: &Path) {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(directory.as_os_str().as_bytes()).expect("no zero in a path");
    // SAFETY: the string lives through the call.
    check(unsafe { libc::chroot(path.as_ptr()) }).expect("root may");
    std::env::set_current_dir("/").expect("a directory");
}

/// Shuts down the file system of `directory`, as `shutdown` of xfs_io does: it writes nothing from then on.
pub(crate) fn shut_down_file_system(directory: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // FS_IOC_SHUTDOWN of linux/fs.h; the flag 0 writes what is dirty first.
    const SHUT_DOWN: u32 = 0x8004_587d;
    let (file, flags) = (std::fs::File::open(directory)?, 0_u32);
    // SAFETY: `flags` outlives the call, which only reads it.
    check(unsafe { libc::ioctl(file.as_raw_fd(), SHUT_DOWN as libc::Ioctl, &raw const flags) })
}

/// Both ends of a terminal: the one that shows it, and the one that a program writes to.
pub(crate) fn terminal() -> (std::fs::File, std::fs::File) {
    use std::os::fd::FromRawFd as _;
    let (mut controller, mut terminal) = (0, 0);
    let null = std::ptr::null_mut();
    // SAFETY: the two numbers are writable, and nothing else is passed.
    let result = unsafe { libc::openpty(&mut controller, &mut terminal, null, null.cast(), null.cast()) };
    assert_eq!(result, 0, "a terminal: {}", std::io::Error::last_os_error());
    // SAFETY: just opened, and owned by nobody else.
    unsafe { (std::fs::File::from_raw_fd(controller), std::fs::File::from_raw_fd(terminal)) }
}

/// Forks. Returns `None` in the child; the parent waits until the child has ended, and returns its wait status.
///
/// The child may make only calls that are safe after a fork, and should end by [`exit_at_once`].
pub(crate) fn fork_here() -> Option<libc::c_int> {
    // SAFETY: see above.
    let process = unsafe { libc::fork() };
    if process == 0 {
        return None;
    }
    let mut status = 0;
    loop {
        // SAFETY: `status` outlives the call. It fails if there is no child.
        let ended = unsafe { libc::waitpid(process, &raw mut status, 0) };
        if ended != -1 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return Some(if ended == process { status } else { -1 });
        }
    }
}

/// Lets the kernel kill this process, as `kill -9` does, after this time.
pub(crate) fn kill_after(delay: std::time::Duration) {
    let delay = libc::timespec { tv_sec: delay.as_secs() as libc::time_t, tv_nsec: delay.subsec_nanos().into() };
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let time = libc::itimerspec { it_interval: never, it_value: delay };
    // SAFETY: all zeros is a `sigevent`; it and the timer's place outlive the calls.
    unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        (event.sigev_notify, event.sigev_signo) = (libc::SIGEV_SIGNAL, libc::SIGKILL);
        let mut timer: libc::timer_t = std::mem::zeroed();
        check(libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer)).expect("a timer");
        check(libc::timer_settime(timer, 0, &raw const time, std::ptr::null_mut())).expect("a timer");
    }
}

/// Words in a file, shared by all processes that map it: what one has stored is there after it was killed. They stay
/// mapped.
pub(crate) fn shared_words<const WORDS: usize>(path: &Path) -> &'static [std::sync::atomic::AtomicU64; WORDS] {
    use std::os::fd::AsRawFd as _;
    let bytes = WORDS * 8;
    let file = std::fs::File::options().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.expect("a writable directory");
    file.set_len(bytes as u64).expect("room");
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: no address is demanded. The mapping is never unmapped, has the array's size, and is used as atomics
    // alone.
    unsafe {
        let words = libc::mmap(std::ptr::null_mut(), bytes, access, libc::MAP_SHARED, file.as_raw_fd(), 0);
        assert_ne!(words, libc::MAP_FAILED, "{}", io::Error::last_os_error());
        &*words.cast()
    }
}

/// The `ptrace_syscall_info` of linux/ptrace.h.
#[repr(C)]
#[derive(Default)]
struct CallInfo {
    operation: u8,
    reserved: [u8; 3],
    architecture: u32,
    addresses: [u64; 2],
    call: u64,
    arguments: [u64; 8],
}

/// Runs `command`, and kills it before its main thread makes the system call that is number `nth` of the `listed` ones.
/// Returns whether it came to that call; with `None`, it ends by itself.
#[allow(clippy::zombie_processes, reason = "it is waited for by `waitpid`, which tells of its stops too")]
pub(crate) fn kill_before_call(
    command: &mut std::process::Command,
    listed: &[libc::c_long],
    nth: Option<usize>,
) -> bool {
    use std::os::unix::process::CommandExt as _;
    // Of linux/ptrace.h.
    const GET_SYSCALL_INFO: libc::c_uint = 0x420e;
    const ENTERED: u8 = 1;
    // SAFETY: the child makes one system call before it executes the program.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0_usize, 0_usize) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
    let mut child = command.spawn().expect("a child process that may be traced");
    let process = child.id() as libc::pid_t;
    let (mut met, mut signal, mut is_prepared) = (0, 0, false);
    loop {
        let mut status = 0;
        // SAFETY: `status` outlives the call, and the child is ours.
        assert_eq!(unsafe { libc::waitpid(process, &raw mut status, 0) }, process);
        if !libc::WIFSTOPPED(status) {
            assert!(libc::WIFEXITED(status), "the child was ended by signal {}", libc::WTERMSIG(status));
            return false;
        }
        if !is_prepared {
            is_prepared = true;
            let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
            // SAFETY: the child is stopped, and the call takes numbers.
            let set = unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, process, 0_usize, options as usize) };
            assert_eq!(set, 0, "{}", io::Error::last_os_error());
        } else if libc::WSTOPSIG(status) == libc::SIGTRAP | 0x80 {
            let mut info = CallInfo::default();
            // SAFETY: the child is stopped, and the kernel writes at most the bytes that are given.
            let bytes = unsafe { libc::ptrace(GET_SYSCALL_INFO, process, size_of::<CallInfo>(), &raw mut info) };
            assert!(bytes > 0, "{}", io::Error::last_os_error());
            if info.operation == ENTERED && listed.contains(&(info.call as libc::c_long)) {
                if nth == Some(met) {
                    child.kill().expect("a child of ours");
                    child.wait().expect("a child of ours");
                    return true;
                }
                met += 1;
            }
            signal = 0;
        } else {
            signal = libc::WSTOPSIG(status);
        }
        // SAFETY: the child is stopped, and the call takes numbers.
        let goes_on = unsafe { libc::ptrace(libc::PTRACE_SYSCALL, process, 0_usize, signal as usize) };
        assert_eq!(goes_on, 0, "{}", io::Error::last_os_error());
    }
}
