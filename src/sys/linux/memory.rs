//! Memory: mappings for rings, a page that a fork wipes, a barrier for all threads.
