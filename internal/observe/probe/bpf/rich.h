// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// The parameters that are too long for the first program.

#ifndef __RICH_H
#define __RICH_H

#define MAX_IOV 32
#define MAX_POLL 32

// Requests of ptrace that give a signal, or get and set a word.
#define PTRACE_PEEKTEXT 1
#define PTRACE_PEEKUSR 3
#define PTRACE_CONT 7
#define PTRACE_KILL 8
#define PTRACE_SINGLESTEP 9
#define PTRACE_DETACH 17
#define PTRACE_SYSCALL 24

#define PR_SET_NAME 15
#define PR_GET_NAME 16

#define FSCONFIG_SET_STRING 1
#define FSCONFIG_SET_BINARY 2
#define FSCONFIG_SET_PATH 3
#define FSCONFIG_SET_PATH_EMPTY 4

#define KEYCTL_JOIN_SESSION_KEYRING 1
#define KEYCTL_SEARCH 10
#define KEYCTL_RESTRICT_KEYRING 29

#define SETVAL 16

// First byte of a DYN value: which variant it is.
enum { PTRACE_WORD, PTRACE_SIGNAL };
enum { KEYCTL_NUMBER, KEYCTL_STRING };

// Which word of a struct rlimit; from LIMIT64_CUR on they have 64 bits in 32-bit programs too.
enum { LIMIT_CUR, LIMIT_MAX, LIMIT64_CUR, LIMIT64_MAX };

static __always_inline void put_user_mem(struct scratch *s, u64 addr, u32 size)
{
	if (!addr || bpf_probe_read_user(room(s), size & 15, (void *)addr))
		size = 0;
	put_len(s, size);
}

static __always_inline void put_user_fd(struct scratch *s, u64 addr)
{
	put_u64(s, s->ret < 0 ? -1 : (s64)(s32)user_u32(addr));
}

static __always_inline void put_limit(struct scratch *s, u64 addr, u32 i)
{
	bool narrow = s->compat && i < LIMIT64_CUR;
	u64 v = -1;

	if (addr && s->ret >= 0)
		v = narrow ? user_u32(addr + 4 * i) : user_u64(addr + 8 * (i & 1));
	if (narrow && v == 0xffffffff)
		v = -1;
	put_u64(s, v);
}

static __always_inline void put_creat_flags(struct scratch *s)
{
	opened(s);
	put_u16(s, s->layer == LAYER_UPPER ? 1 : s->layer == LAYER_LOWER ? 2 : 0);
}

static __always_inline void put_fd_path(struct scratch *s)
{
	struct file *file = opened(s);

	if (file)
		put_path(s, &file->f_path, ROOT_SYSCALL);
	else
		put_empty(s);
}

static __always_inline void put_pipe_ino(struct scratch *s, u64 addr)
{
	struct file *file = s->ret < 0 ? NULL : file_of((s32)user_u32(addr));

	put_u64(s, file ? BPF_CORE_READ(file, f_inode, i_ino) : 0);
}

static __always_inline void put_one_caps(struct scratch *s, u32 which)
{
	struct task_struct *task = current_task();
	const struct cred *cred = BPF_CORE_READ(task, cred);
	const void *at = which == 0 ? &cred->cap_inheritable : which == 1 ? &cred->cap_permitted : &cred->cap_effective;
	u64 caps = 0;

	bpf_probe_read_kernel(&caps, sizeof(caps), at);
	put_u64(s, caps);
}

static __always_inline void put_time(struct scratch *s, u64 addr, bool wide)
{
	u64 sec, nsec;

	if (!addr) {
		put_u64(s, -1);
		return;
	}
	if (wide) {
		sec = user_u64(addr);
		nsec = user_u64(addr + 8);
	} else {
		sec = user_word(s, addr, 0);
		nsec = user_word(s, addr, 1);
	}
	put_u64(s, sec * 1000000000ULL + nsec);
}

static __always_inline u16 poll_flags(u16 v)
{
	return (v & 7) | (v & 0x2000) >> 10 | (v & 0x3f8) << 1;
}

// put_poll lists the descriptors that something happened to.
static __always_inline void put_poll(struct scratch *s, u64 addr, u64 count)
{
	u16 *n = (u16 *)room(s);
	u32 i;

	*n = 0;
	s->filled = 2;
	for (i = 0; i < MAX_POLL && i < count && addr; i++) {
		struct {
			s32 fd;
			s16 events, revents;
		} p = {};

		if (bpf_probe_read_user(&p, sizeof(p), (void *)(addr + sizeof(p) * i)))
			break;
		if (!p.revents)
			continue;
		*(s64 *)piece(s) = p.fd;
		*(u16 *)(piece(s) + 8) = poll_flags(p.revents);
		s->filled += 10;
		*n += 1;
	}
	put_pieces(s);
}

static __always_inline void put_iov_size(struct scratch *s, u64 iov, u64 count)
{
	u64 size = 0;
	u32 i;

	for (i = 0; i < MAX_IOV && i < count; i++)
		size += user_word(s, iov, 2 * i + 1);
	// Of a longer vector the rest is only known from what was transferred.
	if (s->ret > 0 && s->ret > size)
		size = s->ret;
	put_u32(s, size);
}

static __always_inline void put_iov_data(struct scratch *s, u64 iov, u64 count, u64 limit)
{
	u32 i;

	if (limit > s->snaplen)
		limit = s->snaplen;
	for (i = 0; i < MAX_IOV && i < count; i++) {
		u64 base = user_word(s, iov, 2 * i), len = user_word(s, iov, 2 * i + 1);
		u64 left = limit - s->filled;

		if (s->filled >= limit)
			break;
		if (len > left)
			len = left;
		add_user(s, base, len);
	}
	put_pieces(s);
}

static __always_inline void put_dyn64(struct scratch *s, u8 variant, u64 v)
{
	u8 *to = room(s);

	to[0] = variant;
	*(u64 *)(to + 1) = v;
	put_len(s, 9);
}

static __always_inline void put_ptrace_data(struct scratch *s)
{
	u64 data = s->args[3];
	u8 *to = room(s);

	switch (s->args[0]) {
	case PTRACE_PEEKTEXT ... PTRACE_PEEKUSR:
		put_dyn64(s, PTRACE_WORD, s->ret < 0 ? 0 : user_word(s, data, 0));
		break;
	case PTRACE_CONT:
	case PTRACE_SINGLESTEP:
	case PTRACE_DETACH:
	case PTRACE_SYSCALL:
		to[0] = PTRACE_SIGNAL;
		to[1] = data;
		put_len(s, 2);
		break;
	default:
		put_dyn64(s, PTRACE_WORD, data);
	}
}

static __always_inline void put_prctl_str(struct scratch *s)
{
	if (s->args[0] == PR_SET_NAME || (s->args[0] == PR_GET_NAME && s->ret >= 0))
		put_user_string(s, s->args[1]);
	else
		put_empty(s);
}

static __always_inline void put_prctl_int(struct scratch *s)
{
	u32 option = s->args[0];

	put_u64(s, option == PR_SET_NAME || option == PR_GET_NAME ? 0 : s->args[1]);
}

static __always_inline void put_keyctl(struct scratch *s, u32 arg)
{
	u64 v = s->args[arg & 7];
	bool text = false;
	long n;

	switch (s->args[0]) {
	case KEYCTL_JOIN_SESSION_KEYRING:
		text = arg == 1;
		break;
	case KEYCTL_SEARCH:
	case KEYCTL_RESTRICT_KEYRING:
		text = arg == 2 || arg == 3;
		break;
	}
	if (!text || !v || !fits(s, MAX_STRING + 1)) {
		put_dyn64(s, KEYCTL_NUMBER, v);
		return;
	}
	*room(s) = KEYCTL_STRING;
	n = read_user_string(room(s) + 1, MAX_STRING, v);
	put_len(s, n > 0 ? n + 1 : 0);
}

static __always_inline void put_fsconfig(struct scratch *s, bool bytes)
{
	u64 value = s->args[3];

	switch (s->args[1]) {
	case FSCONFIG_SET_BINARY:
		if (bytes) {
			put_user_bytes(s, value, s->args[4]);
			return;
		}
		break;
	case FSCONFIG_SET_STRING:
	case FSCONFIG_SET_PATH:
	case FSCONFIG_SET_PATH_EMPTY:
		if (!bytes) {
			put_user_string(s, value);
			return;
		}
	}
	put_empty(s);
}

// put_sembuf puts a field of struct sembuf { u16 num; s16 op; s16 flg }.
static __always_inline void put_sembuf(struct scratch *s, struct recipe *r)
{
	u32 i = r->aux / 3, field = r->aux % 3;
	u16 v = 0;

	if (i < s->args[2])
		v = user_u16(s->args[r->arg & 7] + 6 * i + 2 * field);
	put_u16(s, field == 2 ? translate(r->table, v) : v);
}

enum quota {
	QUOTA_PATH,
	QUOTA_BLOCK, // + 8 × word of struct if_dqblk
	QUOTA_INFO = QUOTA_BLOCK + 8, // + 8 × word of struct if_dqinfo
	QUOTA_FLAGS = QUOTA_INFO + 2,
	QUOTA_FORMAT_OUT,
	QUOTA_CMD,
	QUOTA_TYPE,
	QUOTA_FORMAT,
};

#define Q_QUOTAON 0x800002
#define Q_GETFMT 0x800004
#define Q_GETINFO 0x800005
#define Q_SETINFO 0x800006
#define Q_GETQUOTA 0x800007
#define Q_SETQUOTA 0x800008

// put_quota makes the parameters of quotactl(cmd << 8 | type, special, id, addr).
static __always_inline void put_quota(struct scratch *s, struct recipe *r)
{
	u32 cmd = (u32)s->args[0] >> 8, type = s->args[0] & 0xff, what = r->aux;
	bool info = cmd == Q_GETINFO || cmd == Q_SETINFO, block = cmd == Q_GETQUOTA || cmd == Q_SETQUOTA;
	u64 addr = s->args[3];

	switch (what) {
	case QUOTA_PATH:
		if (cmd == Q_QUOTAON)
			put_user_string(s, addr);
		else
			put_empty(s);
		break;
	case QUOTA_BLOCK ... QUOTA_INFO - 1:
		put_u64(s, block ? user_u64(addr + 8 * (what - QUOTA_BLOCK)) : 0);
		break;
	case QUOTA_INFO ... QUOTA_FLAGS - 1:
		put_u64(s, info ? user_u64(addr + 8 * (what - QUOTA_INFO)) : 0);
		break;
	case QUOTA_FLAGS:
		put_u8(s, info ? translate(r->table, user_u32(addr + 16)) : 0);
		break;
	case QUOTA_FORMAT_OUT:
		put_u8(s, translate(r->table, cmd == Q_GETFMT ? user_u32(addr) : 0));
		break;
	case QUOTA_CMD:
		put_u16(s, translate(r->table, cmd));
		break;
	case QUOTA_TYPE:
		put_u8(s, translate(r->table, type));
		break;
	case QUOTA_FORMAT:
		put_u8(s, translate(r->table, cmd == Q_QUOTAON ? (u32)s->args[2] : 0));
		break;
	default:
		put_empty(s);
	}
}

// put_rich_struct makes the parameters that come out of a struct of the program.
static __always_inline bool put_rich_struct(struct scratch *s, struct recipe *r)
{
	u64 a = s->args[r->arg & 7];

	switch (r->kind) {
	case KIND_USER32:
		put_user_mem(s, a ? a + r->aux : 0, 4);
		break;
	case KIND_USER64:
		put_user_mem(s, a ? a + r->aux : 0, 8);
		break;
	case KIND_USERFLAGS:
		put_u32(s, translate(r->table, user_u32(a + r->aux)));
		break;
	case KIND_USERFD:
		put_user_fd(s, a + r->aux);
		break;
	case KIND_USERLONG:
		put_u64(s, user_word(s, a, r->aux));
		break;
	case KIND_USERINT:
		put_u64(s, (s64)(s32)user_u32(a + r->aux));
		break;
	case KIND_LIMIT:
		put_limit(s, a, r->aux);
		break;
	case KIND_HOWFLAGS:
		put_open_flags(s, user_u64(a));
		break;
	case KIND_HOWMODE:
		put_u32(s, open_mode(user_u64(a), user_u64(a + 8)));
		break;
	case KIND_TIME:
		put_time(s, a, r->aux);
		break;
	case KIND_SEMBUF:
		put_sembuf(s, r);
		break;
	case KIND_QUOTA:
		put_quota(s, r);
		break;
	default:
		return false;
	}
	return true;
}

static __always_inline struct mm_struct *current_mm(void)
{
	struct task_struct *task = current_task();

	return BPF_CORE_READ(task, mm);
}

// put_rich makes the other rich parameters.
static __always_inline void put_rich(struct scratch *s, struct recipe *r)
{
	u64 a = s->args[r->arg & 7], x = s->args[r->aux & 7];

	switch (r->kind) {
	case KIND_STRIN:
		if (s->ret < 0)
			a = 0;
		put_user_string(s, a);
		break;
	case KIND_CREATFLAGS:
		put_creat_flags(s);
		break;
	case KIND_PIPEINO:
		put_pipe_ino(s, a);
		break;
	case KIND_FDPATH:
		put_fd_path(s);
		break;
	case KIND_VMSIZE:
		put_u32(s, vm_size(current_mm()));
		break;
	case KIND_VMRSS:
		put_u32(s, vm_rss(current_mm()));
		break;
	case KIND_VMSWAP:
		put_u32(s, vm_swap(current_mm()));
		break;
	case KIND_CAPS:
		put_one_caps(s, r->aux);
		break;
	case KIND_PAIR64:
		put_u64(s, (u32)a | x << 32);
		break;
	case KIND_POLL:
		put_poll(s, a, x);
		break;
	case KIND_IOVSIZE:
		put_iov_size(s, a, x);
		break;
	case KIND_IOVIN:
		put_iov_data(s, a, x, s->ret > 0 ? s->ret : 0);
		break;
	case KIND_IOVOUT:
		put_iov_data(s, a, x, s->ret > 0 ? s->ret : MAX_SNAPLEN);
		break;
	case KIND_PTRACEADDR:
		put_dyn64(s, PTRACE_WORD, s->args[2]);
		break;
	case KIND_PTRACEDATA:
		put_ptrace_data(s);
		break;
	case KIND_PRCTLSTR:
		put_prctl_str(s);
		break;
	case KIND_PRCTLINT:
		put_prctl_int(s);
		break;
	case KIND_KEYCTL:
		put_keyctl(s, r->arg);
		break;
	case KIND_FSCONFIG:
		put_fsconfig(s, r->aux);
		break;
	case KIND_SEMVAL:
		put_u32(s, s->args[2] == SETVAL ? s->args[3] : 0);
		break;
	default:
		put_empty(s);
	}
}

#endif
