// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// The beginning of a system call. The program there is attached only when somebody asks for what only it can
// tell: how long a call took, and which arguments it was begun with.

#ifndef __ENTRY_H
#define __ENTRY_H

bool time_entries;
const volatile bool sample_entries;

struct entry_time {
	u64 at;   // CLOCK_BOOTTIME, 0 when no call runs
	u64 call; // index of calls
};

// Where a thread has begun its call, by thread id. Entries are overwritten in place and end with the thread.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC); // it may never be used
	__uint(max_entries, 32768);
	__type(key, u32);
	__type(value, struct entry_time);
} entry_times SEC(".maps");

// What the argument was when the call began: a string with its NUL, or a socket address.
struct sample {
	u32 call; // index of calls + 1, 0 when it is used up
	u32 len;
	u8 bytes[MAX_STRING];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); // more when sample_entries, set by user space
	__type(key, u32);
	__type(value, struct sample);
} samples SEC(".maps");

static __always_inline void note_time(u32 tid, u32 index)
{
	struct entry_time *old = bpf_map_lookup_elem(&entry_times, &tid), new = {};

	if (old) {
		old->call = index;
		old->at = bpf_ktime_get_boot_ns();
		return;
	}
	new.call = index;
	new.at = bpf_ktime_get_boot_ns();
	bpf_map_update_elem(&entry_times, &tid, &new, BPF_ANY); // without room the time stays unknown
}

// latency_of returns how long the call took that ends now, 0 if its beginning was not seen.
static __always_inline u64 latency_of(u32 tid, u32 index, u64 now)
{
	struct entry_time *t = bpf_map_lookup_elem(&entry_times, &tid);
	u64 at;

	if (!t || !t->at || t->call != index)
		return 0;
	at = t->at;
	t->at = 0;
	return now > at ? now - at : 1;
}

// latency_until returns how long the call has run that is about to succeed, and is no call any more when it ends.
static __always_inline u64 latency_until(u32 tid, u64 now)
{
	struct entry_time *t = bpf_map_lookup_elem(&entry_times, &tid);

	return t && t->at && now > t->at ? now - t->at : 0;
}

// take_sample keeps an argument: len bytes of an address, or a string if len is 0. Verified once.
__noinline int take_sample(u32 index, u64 addr, u32 len)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct sample *sample = bpf_map_lookup_elem(&samples, &tid);
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	long n;

	if (!sample) {
		// What is in the scratch area does not matter; it is only long enough.
		if (!s || bpf_map_update_elem(&samples, &tid, s->data, BPF_ANY))
			return 0;
		sample = bpf_map_lookup_elem(&samples, &tid);
		if (!sample)
			return 0;
	}
	sample->call = 0;
	if (len) {
		bound(len, 255);
		n = bpf_probe_read_user(sample->bytes, len, (void *)addr) ? -1 : len;
	} else {
		n = read_user_string(sample->bytes, MAX_STRING, addr);
	}
	if (n <= 0)
		return 0;
	sample->len = n;
	sample->call = index + 1;
	return 0;
}

// sample_of returns what was kept when the running call began, NULL if nothing was.
static __always_inline struct sample *sample_of(u32 tid, u32 index)
{
	struct sample *sample = bpf_map_lookup_elem(&samples, &tid);

	return sample && sample->call == index + 1 ? sample : NULL;
}

static __always_inline void forget_thread(u32 tid)
{
	if (time_entries)
		bpf_map_delete_elem(&entry_times, &tid);
	if (sample_entries)
		bpf_map_delete_elem(&samples, &tid);
}

#endif
