// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// What is sent: which calls anybody wants, and which of them a process can
// still make a rule match.

#ifndef __FILTER_H
#define __FILTER_H

enum want {
	WANTED = 1,
	OPTIONAL = 2, // subject to the filter by process
	COMPAT = 4,   // the 32-bit call of this number is wanted
	SAMPLED = 8,  // its argument is looked at when it begins, too
	BOXED = 16,   // goes into the black box
	KILL = 64,    // its process may not survive it
	DATA = 32,    // carries data, of which the box may keep another length
};

#define MAX_PROCESSES 65536

u8 wants[MAX_CALLS]; // enum want, by index of calls

const volatile bool filter_processes;

// A process's filter holds for the image that it had at a moment. What a
// process is may change behind the back of user space, so the kernel keeps for
// each process when that last happened: an older filter does not count.
struct process_filter {
	u64 asof;
	u64 codes[8]; // wanted calls, by platform independent code
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); // MAX_PROCESSES when filter_processes, set by user space
	__type(key, u32);
	__type(value, struct process_filter);
} process_filters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} image_changes SEC(".maps");

u64 changes_lost; // time of the last change that found image_changes full

// image_changed voids the filter that was made for the process so far.
static __always_inline void image_changed(u32 tgid, u64 now)
{
	if (!filter_processes)
		return;
	if (bpf_map_update_elem(&image_changes, &tgid, &now, BPF_ANY))
		changes_lost = now;
}

static __always_inline void forget_process(u32 tgid)
{
	if (!filter_processes)
		return;
	bpf_map_delete_elem(&process_filters, &tgid);
	bpf_map_delete_elem(&image_changes, &tgid);
}

// process_wants tells whether an optional call of a process matters.
static __always_inline bool process_wants(u32 tgid, u32 code)
{
	struct process_filter *f;
	u64 *changed;

	if (!filter_processes)
		return true;
	f = bpf_map_lookup_elem(&process_filters, &tgid);
	if (!f || f->codes[(code >> 6) & 7] >> (code & 63) & 1 || f->asof < changes_lost)
		return true;
	changed = bpf_map_lookup_elem(&image_changes, &tgid);
	return changed && *changed > f->asof;
}

#endif
