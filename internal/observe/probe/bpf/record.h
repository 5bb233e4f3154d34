// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// How an event is built and sent: a scratch area per CPU in which the event
// grows in its final layout (header, u16 lengths, values), and the rings of
// the two lanes that it is copied into at once.

#ifndef __RECORD_H
#define __RECORD_H

// Calls are indexed by number, 32-bit ones by number + COMPAT_CALLS. The x32
// ABI has numbers of its own from 512 on; they take 32-bit structs and so are
// beside the 32-bit ones.
#define MAX_SYSCALLS 512
#define COMPAT_CALLS 512
#define MAX_CALLS 2048
#define MAX_TYPES 512
#define MAX_PARAMS 20
#define MAX_PLAIN_PARAMS 8

#define MAX_EVENT 65000 // with what is beside it, and its tail, still less than 64 KiB
#define MAX_SNAPLEN 32768
#define MAX_STRING 4096
#define MAX_PATH 4096

// struct event_header is packed: u64 ts, u64 tid, u32 len, u16 type, u32 nparams.
#define EVENT_HEADER 26

// The type of the record that tells user space of a new cgroup; no event has it.
#define NOTICE_CGROUP 0xffff

// Since 7.0 a program may be preempted, and another one, or its own next event,
// would find its scratch area taken. So the programs there hold the CPU, where
// they do not do so anyway.
extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;

const volatile bool preemptible;

static __always_inline void hold(void)
{
	if (preemptible && bpf_preempt_disable)
		bpf_preempt_disable();
}

static __always_inline void release(void)
{
	if (preemptible && bpf_preempt_enable)
		bpf_preempt_enable();
}

// The programs that may run on a CPU at the same moment, one inside the other,
// each have their own scratch area.
enum root {
	ROOT_SYSCALL,
	ROOT_TASK,
	ROOT_SWITCH,
	ROOTS,
};

enum lane {
	LANE_ACTIVITY,
	LANE_LIFECYCLE,
	LANES,
};

// How one parameter of an event is made, see recipe.go.
struct recipe {
	u8 kind; // enum kind
	u8 arg;  // index of an argument of the call
	u8 aux;  // by kind: a second argument, an offset, an index
	u8 table; // flag translation
};

enum call_flags {
	CALL_LIFECYCLE = 1, // travels in the lifecycle lane
	CALL_SKIP_ZERO = 2, // a result of 0 is told by another program
	CALL_IMAGE = 4,     // success changes what the process may do, see filter.h
	CALL_MESSAGE = 8,   // the second argument is a message, or a vector of them
	CALL_OPENS = 16,    // the argument is the name of a file that it opens
	CALL_CONNECTS = 32, // the argument is the address of a socket that it connects to
	CALL_EXECUTES = 64, // the argument is the name of a program
	CALL_AT = 128,      // the name follows a descriptor that it may be relative to
	CALL_ARGUMENT = CALL_OPENS | CALL_CONNECTS | CALL_EXECUTES,
};

// The functions that make an event.
enum maker {
	MAKER_GENERIC,
	MAKER_PLAIN,
	MAKER_RICH,
	MAKER_SOCKET,
	MAKER_MESSAGES,
	MAKER_EXEC,
	MAKER_CLONE,
	MAKER_SOCKETCALL, // stands for other calls
};

// struct call says what to do with a system call; the map is filled by user space.
struct call {
	u16 type; // event type
	u16 code; // platform independent code of the call
	u8 nparams;
	u8 maker;
	u8 flags;
	u8 pad;
	struct recipe params[MAX_PARAMS];
};

struct scratch {
	// 0, or the event time (ns since the epoch) of the event being made.
	// User space reads it: what it has not got yet is not older than this.
	u64 since;
	u64 pad[7];

	u64 ts;
	u64 args[8]; // six are used
	s64 ret;
	u32 nr;    // native number
	u32 call;  // index in calls
	u32 pos;   // where the next value goes
	u32 param; // the next parameter
	u32 filled; // bytes of a value that is put together piece by piece
	u32 snaplen;
	u32 compat;
	u32 type;
	u64 file;  // that the call opened, and what is known of it: see opened
	u64 ino;
	u32 dev;
	u32 layer;
	u64 addr;  // memory and length of a message, see message.h
	u32 addrlen;
	u32 iovlen;
	u64 iov;
	u64 control;
	u32 controllen;
	u32 path_off; // where the path begins that is being built, see prepend
	u64 latency;  // of the call in ns, 0 if not known
	u32 beside;   // bytes behind the event that are no part of it
	u32 beside_kind;
	u32 kill;  // see beside_tail
	u32 alone; // the event goes into the box only
	u32 name_off, name_end; // of the name that is compared, see argument.h
	u64 base_dentry, base_mnt;
	u32 plain_off, plain_len; // of the name, when it is the way to the file and nothing else; length 0 when not

	u8 path[MAX_PATH + 256];
	u8 data[65536 + 2 * MAX_SNAPLEN]; // so that all that is masked stays inside
};

// What the bytes behind an event are.
enum beside {
	BESIDE_NOTHING,
	BESIDE_PATH,   // where the file or socket is that the call has reached, as the argument does not say so plainly
	BESIDE_SAMPLE, // the argument as it was when the call began, of one that failed
};

// A record that has more than its event ends with this; between them are its bytes.
struct beside_tail {
	u64 latency;
	u32 kill; // what the process was sent a signal for, see kill.h
	u16 bytes;
	u16 kind;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ROOTS); // × CPUs; sizes by CPU are set by user space
	__type(key, u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CALLS);
	__type(key, u32);
	__type(value, struct call);
} calls SEC(".maps");

// A ring for each CPU, so that CPUs never wait for each other and each ring is in order of time.
struct ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, u32);
	__array(values, struct ring);
} activity_rings SEC(".maps"), lifecycle_rings SEC(".maps");

// Events that were lost, by type; one for each CPU, read by user space as memory.
struct drop_counts {
	u64 n[MAX_TYPES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct drop_counts);
} drops SEC(".maps");

const volatile u64 boot_epoch;         // event time of the start of CLOCK_BOOTTIME
const volatile u32 own_tgid;           // process to leave alone
const volatile u32 wake_bytes[LANES];  // fill level at which a waiting reader is woken

u32 snaplen = 80;
u32 reader_waits;

// bound shows the verifier what the code before has made sure of: that v fits
// the mask. The compiler must not see it, or it would leave the masking out.
#define bound(v, mask)                         \
	do {                                   \
		asm volatile("" : "+r"(v));    \
		(v) &= (mask);                 \
	} while (0)

static __always_inline void count_drop(u32 type)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct drop_counts *counts = bpf_map_lookup_elem(&drops, &cpu);

	if (counts)
		counts->n[type & (MAX_TYPES - 1)]++;
}

static __always_inline struct scratch *scratch_of(u32 root)
{
	u32 slot = bpf_get_smp_processor_id() * ROOTS + root;

	return bpf_map_lookup_elem(&scratches, &slot);
}

// begin takes the CPU's scratch area. If it is taken, which hold makes
// impossible where it works, the event is lost.
static __always_inline struct scratch *begin(u32 root, u32 type)
{
	struct scratch *s = scratch_of(root);

	if (!s || s->since) {
		count_drop(type);
		return NULL;
	}
	// Marked before the clock is read, so that no reader can see a clock later
	// than ours and no mark.
	*(volatile u64 *)&s->since = 1;
	s->ts = bpf_ktime_get_boot_ns() + boot_epoch;
	s->latency = 0;
	s->kill = 0;
	*(volatile u64 *)&s->since = s->ts;
	return s;
}

static __always_inline void end(struct scratch *s)
{
	*(volatile u64 *)&s->since = 0;
}

static __always_inline void start_event(struct scratch *s, u32 type, u32 nparams, u32 tid)
{
	*(u64 *)(s->data) = s->ts;
	*(u64 *)(s->data + 8) = tid;
	*(u16 *)(s->data + 20) = type;
	*(u32 *)(s->data + 22) = nparams;
	s->type = type;
	s->filled = 0;
	s->pos = EVENT_HEADER + 2 * nparams;
	s->param = 0;
	s->name_off = s->name_end = 0;
	s->plain_len = 0;
	s->beside = 0;
	s->beside_kind = BESIDE_NOTHING;
}

// wakeup decides whether the reader is woken: only when it sleeps and a good part of the ring is used.
static __always_inline u64 wakeup(void *ring, u32 lane)
{
	if (!reader_waits || bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) < wake_bytes[lane])
		return BPF_RB_NO_WAKEUP;
	reader_waits = 0;
	return BPF_RB_FORCE_WAKEUP;
}

// add_tail ends a record that has more than its event of len bytes and returns its length.
static __always_inline u32 add_tail(struct scratch *s, u32 len)
{
	struct beside_tail tail = {.latency = s->latency, .kill = s->kill, .bytes = s->beside, .kind = s->beside_kind};

	len += s->beside;
	bound(len, 0xffff);
	__builtin_memcpy(s->data + len, &tail, sizeof(tail));
	return len + sizeof(tail);
}

#define MAX_WHOLE (MAX_EVENT + 400) // with its tail; what is beside an event only fits where fits says so

// finish ends the event, and the record with it, whose length it returns. It may be called again.
static __always_inline u32 finish(struct scratch *s)
{
	u32 len = s->pos;

	*(u32 *)(s->data + 16) = len;
	if (s->latency || s->beside || s->kill)
		len = add_tail(s, len);
	return len;
}

static __always_inline long send(struct scratch *s, void *rings, u32 lane)
{
	u32 cpu = bpf_get_smp_processor_id();
	void *ring = bpf_map_lookup_elem(rings, &cpu);
	u32 len;

	if (!ring || s->pos > MAX_EVENT)
		return -1;
	len = finish(s);
	bound(len, 0xffff);
	return bpf_ringbuf_output(ring, s->data, len, wakeup(ring, lane));
}

static __always_inline void submit(struct scratch *s, u32 lane)
{
	long err;

	if (lane == LANE_LIFECYCLE)
		err = send(s, &lifecycle_rings, LANE_LIFECYCLE);
	else
		err = send(s, &activity_rings, LANE_ACTIVITY);
	if (err)
		count_drop(s->type);
}

// Values. Every function here appends one parameter.

// room returns where the next value goes. Masked for the verifier: an event
// never gets there, as every writer of much data asks fits first.
static __always_inline u8 *room(struct scratch *s)
{
	return s->data + (s->pos & 0xffff);
}

// fits reports whether n more bytes fit the event.
static __always_inline bool fits(struct scratch *s, u32 n)
{
	return s->pos + n <= MAX_EVENT;
}

// put_len ends a parameter whose n bytes of value are written.
static __always_inline void put_len(struct scratch *s, u32 n)
{
	*(u16 *)(s->data + EVENT_HEADER + 2 * (s->param & 31)) = n;
	s->param++;
	s->pos += n;
}

static __always_inline void put_empty(struct scratch *s)
{
	put_len(s, 0);
}

static __always_inline void put_u8(struct scratch *s, u8 v)
{
	*room(s) = v;
	put_len(s, 1);
}

static __always_inline void put_u16(struct scratch *s, u16 v)
{
	*(u16 *)room(s) = v;
	put_len(s, 2);
}

static __always_inline void put_u32(struct scratch *s, u32 v)
{
	*(u32 *)room(s) = v;
	put_len(s, 4);
}

static __always_inline void put_u64(struct scratch *s, u64 v)
{
	*(u64 *)room(s) = v;
	put_len(s, 8);
}

// read_user_string copies a string of the program with its NUL and returns its
// length with it. Kernels before 6.4 answer 0 for an empty string.
static __always_inline long read_user_string(u8 *to, u32 size, u64 addr)
{
	long n = bpf_probe_read_user_str(to, size, (void *)addr);

	if (n)
		return n;
	*to = 0;
	return 1;
}

// put_user_string puts a string of the program with its NUL, empty if it cannot be read.
static __always_inline void put_user_string(struct scratch *s, u64 addr)
{
	long n = 0;

	if (addr && fits(s, MAX_STRING))
		n = read_user_string(room(s), MAX_STRING, addr);
	s->name_off = s->pos;
	s->name_end = s->pos + (n > 0 ? n - 1 : 0);
	put_len(s, n > 0 ? n : 0);
}

// put_kernel_string is put_user_string for a string of the kernel.
static __always_inline void put_kernel_string(struct scratch *s, const void *addr)
{
	long n = 0;

	if (addr && fits(s, MAX_STRING))
		n = bpf_probe_read_kernel_str(room(s), MAX_STRING, addr);
	put_len(s, n > 0 ? n : 0);
}

// Values that are put together piece by piece: where the next piece goes is
// kept in memory, as a loop that carried it in a register would be walked by
// the verifier for every possible value.

// piece returns where the next piece goes.
static __always_inline u8 *piece(struct scratch *s)
{
	return s->data + ((s->pos + s->filled) & 0xffff);
}

// add_user adds up to MAX_SNAPLEN bytes of the program.
static __always_inline bool add_user(struct scratch *s, u64 addr, u64 len)
{
	if (len > MAX_SNAPLEN)
		len = MAX_SNAPLEN;
	if (!addr || !len || !fits(s, s->filled + len))
		return false;
	bound(len, 2 * MAX_SNAPLEN - 1);
	if (bpf_probe_read_user(piece(s), len, (void *)addr))
		return false;
	s->filled += len;
	return true;
}

// put_pieces ends a value that was put together.
static __always_inline void put_pieces(struct scratch *s)
{
	put_len(s, s->filled);
	s->filled = 0;
}

// put_user_bytes puts a buffer of the program, cut to the snaplen.
static __always_inline void put_user_bytes(struct scratch *s, u64 addr, u64 len)
{
	if (len > s->snaplen)
		len = s->snaplen;
	add_user(s, addr, len);
	put_pieces(s);
}

// user_word reads word i of an array of pointers or longs of the program.
static __always_inline u64 user_word(struct scratch *s, u64 addr, u32 i)
{
	u64 v = 0;

	if (s->compat)
		bpf_probe_read_user(&v, 4, (void *)(addr + 4 * i));
	else
		bpf_probe_read_user(&v, 8, (void *)(addr + 8 * i));
	return v;
}

#endif
