// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// Signals that the programs send themselves: to a process that begins an unwanted program, before the first
// instruction of that, or ends an unwanted call, before it sees the result. What is compared is what the event says,
// so that whoever judges events finds the same.

#ifndef __KILL_H
#define __KILL_H

#define MAX_KILL_PATH 256

#define O_ACCMODE 3
#define O_PATH 010000000
#define S_IFDIR 0040000
#define IPPROTO_TCP 6
#define CONNECT_PARAMS 4 // of SOCKET_CONNECT_X

// What is looked for: an event type, and the path of the program of the process, or its name when KILL_COMM is
// added to the type. Both are followed by zeros.
struct kill_key {
	u32 type;
	char path[MAX_KILL_PATH];
};

#define KILL_COMM 0x10000

struct kill {
	u32 signal;
	u32 id;     // that user space is told, not 0
	u32 scope;  // only in the cgroups that kill_scopes has with this number; everywhere if 0
};

// A cgroup that kills with this scope hold in. What is below it is another one.
struct kill_scope {
	u64 cgroup;
	u32 scope;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct kill_key);
	__type(value, struct kill);
} kills SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct kill_scope);
	__type(value, u8);
} kill_scopes SEC(".maps");

// The key that is being looked up does not fit the stack.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ROOTS);
	__type(key, u32);
	__type(value, struct kill_key);
} kill_keys SEC(".maps");

// What files are opened by. The prefix ends behind the NUL of a name that is meant as a whole.
#define MAX_KILL_NAME 248

struct kill_name {
	u32 prefixlen; // of what follows, in bits
	u16 type;
	u8 access; // enum kill_access that is asked for
	u8 pad;
	char name[MAX_KILL_NAME];
};

enum kill_access {
	KILL_READS = 1,
	KILL_WRITES = 2,
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct kill_name);
	__type(value, struct kill);
} kill_names SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct kill_name);
} kill_name_keys SEC(".maps");

// Where TCP sockets connect to.
struct kill_peer {
	u32 prefixlen; // of what follows, in bits
	u16 port;      // 0 for all
	u8 family;
	u8 done; // only when the connect has returned 0
	u8 addr[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct kill_peer);
	__type(value, struct kill);
} kill_peers SEC(".maps");

u8 has_kills;

// strike sends the signal if the process is in one of the cgroups, and notes that.
static __always_inline bool strike(struct scratch *s, struct kill *kill)
{
	struct kill_scope scope = {.scope = kill->scope};

	if (kill->scope) {
		scope.cgroup = BPF_CORE_READ(container_cgroup(), id);
		if (!bpf_map_lookup_elem(&kill_scopes, &scope))
			return false;
	}
	if (bpf_send_signal(kill->signal))
		return false; // the kernel spares the first process, and its own threads
	s->kill = kill->id;
	return true;
}

// judge looks whether the event that was just made is one that its process does not survive. Verified once.
__noinline int judge(u32 root, u32 type)
{
	struct scratch *s = scratch_of(root);
	struct kill_key *key = bpf_map_lookup_elem(&kill_keys, &root);
	struct task_struct *task = current_task();
	struct file *exe;
	struct kill *kill;
	u32 off, len;

	if (!s || !key)
		return 0;
	__builtin_memset(key, 0, sizeof(*key));
	key->type = type | KILL_COMM;
	bpf_get_current_comm(key->path, 16);
	kill = bpf_map_lookup_elem(&kills, key);
	if (kill && strike(s, kill))
		return 0;
	exe = BPF_CORE_READ(task, mm, exe_file);
	if (!exe)
		return 0;
	off = walk_path((u64)BPF_CORE_READ(exe, f_path.dentry), (u64)BPF_CORE_READ(exe, f_path.mnt), root);
	len = MAX_PATH - off;
	if (len >= MAX_KILL_PATH)
		return 0;
	bound(len, MAX_KILL_PATH - 1);
	__builtin_memset(key, 0, sizeof(*key));
	key->type = type;
	bpf_probe_read_kernel(key->path, len, &s->path[off & (MAX_PATH - 1)]);
	kill = bpf_map_lookup_elem(&kills, key);
	if (kill)
		strike(s, kill);
	return 0;
}

// judge_open looks whether a file was opened that its process shall not have: by an absolute name without links and
// detours, which is the path that a rule sees. Directories, and what can be neither read nor written, are no such files.
__noinline int judge_open(void)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	struct kill_name *key;
	struct file *file;
	struct kill *kill;
	u32 zero = 0, off, len, flags, may, access;

	if (!s || s->ret < 0 || s->kill)
		return 0;
	off = s->plain_off;
	len = s->plain_len;
	if (len < 2 || len >= MAX_KILL_NAME)
		return 0;
	if (s->data[off & 0xffff] != '/' || s->data[(off + len - 1) & 0xffff] == '/')
		return 0;
	file = opened(s);
	key = bpf_map_lookup_elem(&kill_name_keys, &zero);
	if (!file || !key || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) == S_IFDIR)
		return 0;
	flags = BPF_CORE_READ(file, f_flags);
	may = (flags & O_ACCMODE) + 1; // O_RDONLY, O_WRONLY, O_RDWR
	if (flags & O_PATH || may > (KILL_READS | KILL_WRITES))
		return 0;
	__builtin_memset(key, 0, sizeof(*key));
	bound(len, 255);
	if (len >= MAX_KILL_NAME)
		return 0;
	bpf_probe_read_kernel(key->name, len, &s->data[off & 0xffff]);
	key->type = s->type;
	for (access = 0; access <= (KILL_READS | KILL_WRITES); access++) {
		if (access & ~may)
			continue;
		key->access = access;
		key->prefixlen = 8 * (4 + len + 1);
		kill = bpf_map_lookup_elem(&kill_names, key);
		if (kill && strike(s, kill))
			return 0;
	}
	return 0;
}

// judge_connect looks whether a TCP socket has been connected to where it shall not. IPv4 through a socket of IPv6 is left
// to user space.
__noinline int judge_connect(void)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	struct kill_peer key = {};
	struct kill *kill;
	struct sock *sk;
	u32 at, bits, i;
	u16 port;

	if (!s || !connected(s) || s->kill || s->type != SOCKET_CONNECT_X)
		return 0;
	sk = sock_of((s32)s->args[0]);
	if (!sk || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	at = EVENT_HEADER + 2 * CONNECT_PARAMS + 8; // the tuple of the event, behind the result
	key.family = s->data[at];
	switch (*(u16 *)(s->data + EVENT_HEADER + 2) << 8 | key.family) {
	case 13 << 8 | AF_INET:
		bits = 8 * (4 + 4);
		__builtin_memcpy(key.addr, s->data + at + 7, 4);
		port = *(u16 *)(s->data + at + 11);
		break;
	case 37 << 8 | AF_INET6:
		bits = 8 * (4 + 16);
		__builtin_memcpy(key.addr, s->data + at + 19, 16);
		port = *(u16 *)(s->data + at + 35);
		if (!*(u64 *)(s->data + at + 19) && *(u32 *)(s->data + at + 27) == 0xffff0000)
			return 0;
		break;
	default:
		return 0;
	}
	if (!port)
		return 0; // it has been disconnected
	for (i = 0; i < 4; i++) {
		key.port = i & 1 ? 0 : port;
		key.done = i >> 1;
		key.prefixlen = bits;
		if (key.done && s->ret)
			break;
		kill = bpf_map_lookup_elem(&kill_peers, &key);
		if (kill && strike(s, kill))
			break;
	}
	return 0;
}

static __always_inline void judge_call(struct call *call)
{
	judge(ROOT_SYSCALL, call->type);
	if (call->flags & CALL_OPENS)
		judge_open();
	else if (call->flags & CALL_CONNECTS)
		judge_connect();
}

#endif
