// Tells ThreadSanitizer how the standard library, which is not instrumented, orders accesses. scripts/sanitize.sh links
// this file into the tests. The linker sends their calls of each function below to `__wrap_` and its name; `__real_`
// and its name is the standard library's function. The script defines the names, which are mangled.
//
// Only functions that are compiled with the standard library are here: those that are inlined are instrumented with
// their caller. scripts/thread_sanitizer.rs shows that accesses in no order are still reported.

#define _GNU_SOURCE
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

void __tsan_acquire(void *address);
void __tsan_release(void *address);

#define PASTE(prefix, name) prefix##name
#define WRAP(name) PASTE(__wrap_, name)
#define REAL(name) PASTE(__real_, name)

// The locks that a thread waits for. Their other steps are inlined: an unlock releases the lock's first word.
#define ACQUIRED_BY(name) \
    void REAL(name)(void *lock); \
    void WRAP(name)(void *lock) { \
        REAL(name)(lock); \
        __tsan_acquire(lock); \
    }

ACQUIRED_BY(MUTEX_LOCK_CONTENDED)
ACQUIRED_BY(RWLOCK_READ_CONTENDED)
ACQUIRED_BY(RWLOCK_WRITE_CONTENDED)

// `Condvar::wait` and `wait_timeout` unlock the mutex and lock it again.
void REAL(CONDVAR_WAIT)(void *condvar, void *mutex);
void WRAP(CONDVAR_WAIT)(void *condvar, void *mutex) {
    __tsan_release(mutex);
    REAL(CONDVAR_WAIT)(condvar, mutex);
    __tsan_acquire(mutex);
}

bool REAL(CONDVAR_WAIT_TIMEOUT)(void *condvar, void *mutex, uint64_t seconds, uint32_t nanoseconds);
bool WRAP(CONDVAR_WAIT_TIMEOUT)(void *condvar, void *mutex, uint64_t seconds, uint32_t nanoseconds) {
    __tsan_release(mutex);
    bool notified = REAL(CONDVAR_WAIT_TIMEOUT)(condvar, mutex, seconds, nanoseconds);
    __tsan_acquire(mutex);
    return notified;
}

// `Once::call`, for `OnceLock` and `LazyLock`: runs the initialisation, or waits for it. Another thread may see that
// the initialisation is complete just before the second release; then its accesses may be reported.
void REAL(ONCE_CALL)(void *once, uintptr_t ignore_poison, uintptr_t data, uintptr_t vtable, uintptr_t location);
void WRAP(ONCE_CALL)(void *once, uintptr_t ignore_poison, uintptr_t data, uintptr_t vtable, uintptr_t location) {
    __tsan_release(once);
    REAL(ONCE_CALL)(once, ignore_poison, data, vtable, location);
    __tsan_release(once);
    __tsan_acquire(once);
}

// A thread of `thread::scope` ends: it counts itself out. `scope` itself is inlined, and acquires the count, which is
// one of the three words.
void REAL(SCOPE_LEAVE)(char *scope, uintptr_t panicked);
void WRAP(SCOPE_LEAVE)(char *scope, uintptr_t panicked) {
    for (int word = 0; word < 3; word++) {
        __tsan_release(scope + word * sizeof(uintptr_t));
    }
    REAL(SCOPE_LEAVE)(scope, panicked);
}

bool REAL(BARRIER_WAIT)(void *barrier);
bool WRAP(BARRIER_WAIT)(void *barrier) {
    __tsan_release(barrier);
    bool is_leader = REAL(BARRIER_WAIT)(barrier);
    __tsan_acquire(barrier);
    return is_leader;
}

// ThreadSanitizer takes no notice of fences. The last drop of an `Arc` is ordered after the others by an acquire fence
// that follows a decrement: the fence acquires what the thread last decremented.
static __thread void *decremented;

uint64_t __real___tsan_atomic64_fetch_sub(void *counter, uint64_t value, int order);
uint64_t __wrap___tsan_atomic64_fetch_sub(void *counter, uint64_t value, int order) {
    decremented = counter;
    return __real___tsan_atomic64_fetch_sub(counter, value, order);
}

void __real___tsan_atomic_thread_fence(int order);
void __wrap___tsan_atomic_thread_fence(int order) {
    enum { RELAXED, CONSUME, ACQUIRE, RELEASE };
    __real___tsan_atomic_thread_fence(order);
    if (decremented && order != RELAXED && order != RELEASE) {
        __tsan_acquire(decremented);
    }
}

// The thread that holds the locks of logs has a table of descriptors of its own, in which ThreadSanitizer has neither its
// report nor the pipe to what finds the names of functions. A report there would be lost, could not be suppressed, and
// would close descriptors of that thread. So its accesses are not looked at; how it synchronises with others is.
void __tsan_ignore_thread_begin(void);
void __tsan_ignore_thread_end(void);
static pthread_key_t at_end;

static void end_ignoring(void *unused) {
    (void)unused;
    __tsan_ignore_thread_end();
}

__attribute__((constructor)) static void make_key(void) {
    pthread_key_create(&at_end, end_ignoring);
}

// ThreadSanitizer's interceptors give way to functions of the same name.
int __interceptor_pthread_setname_np(pthread_t thread, const char *name);
int pthread_setname_np(pthread_t thread, const char *name) {
    if (strcmp(name, "diolog-lock") == 0) {
        __tsan_ignore_thread_begin();
        pthread_setspecific(at_end, &at_end);
    }
    return __interceptor_pthread_setname_np(thread, name);
}

// For ThreadSanitizer, what that thread closes would be descriptors of the other threads.
int __interceptor_close(int number);
int close(int number) {
    char name[16] = "";
    prctl(PR_GET_NAME, name);
    return strcmp(name, "diolog-lock") == 0 ? (int)syscall(SYS_close, number) : __interceptor_close(number);
}
