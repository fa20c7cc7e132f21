//! Which CPU a thread runs on, and how the kernel knows the thread.
