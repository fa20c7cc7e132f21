//! Files: opening for direct I/O, preallocation, locks, directory sync.
