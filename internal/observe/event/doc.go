// Package event is the vocabulary of Rollcage: every event type with its
// parameters, the label tables that turn numbers into words, the system call
// numbers, and the binary layout in which an event lives in memory, in the
// kernel's ring and on disk.
//
// An [Event] is a view over bytes in the .scap v2 layout. Reading a parameter
// allocates nothing: the returned slices and strings point into those bytes
// and are valid as long as they are, which for an event handed out by a
// [Source] means until the next call of Next.
//
// The tables are data (tables/*.txt, embedded): see [Lookup], [Table] and
// [SyscallByName]. The package imports nothing of ours.
package event

//go:generate go run ./gen
