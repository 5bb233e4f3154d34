// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// Socket addresses and connections.

#ifndef __SOCKET_H
#define __SOCKET_H

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFREG 0100000
#define S_IFIFO 0010000

// Offsets in the sockaddr structs of programs.
#define SIN_PORT 2
#define SIN_ADDR 4
#define SIN6_ADDR 8
#define SUN_PATH 2
#define SUN_PATH_MAX 108

enum direction {
	OUTBOUND, // source is the local end
	INBOUND,  // source is the remote end
};

static __always_inline u16 user_u16(u64 addr)
{
	u16 v = 0;

	bpf_probe_read_user(&v, sizeof(v), (void *)addr);
	return v;
}

static __always_inline u32 user_u32(u64 addr)
{
	u32 v = 0;

	bpf_probe_read_user(&v, sizeof(v), (void *)addr);
	return v;
}

static __always_inline u64 user_u64(u64 addr)
{
	u64 v = 0;

	bpf_probe_read_user(&v, sizeof(v), (void *)addr);
	return v;
}

static __always_inline u16 swap16(u16 v)
{
	return v >> 8 | v << 8;
}

// sock_of returns the socket behind a descriptor of the running task, or NULL.
static __always_inline struct sock *sock_of(s64 fd)
{
	struct file *file = file_of(fd);
	struct socket *socket;

	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}

#define EINPROGRESS 115

// connected reports whether a connect has got so far that its socket knows the other end.
static __always_inline bool connected(struct scratch *s)
{
	return s->ret == 0 || s->ret == -EINPROGRESS;
}

// copy_unix_path copies a sun_path of len bytes behind n bytes of value, with a NUL, and returns how
// many bytes of value that makes. An abstract name, which begins with a NUL, begins with @ here.
static __always_inline u32 copy_unix_path(struct scratch *s, u32 n, const void *path, u32 len, bool user)
{
	u8 *to = s->data + ((s->pos + n) & 0xffff);
	u8 first = 0;
	u32 at = 0;
	long got;

	if (len > SUN_PATH_MAX)
		len = SUN_PATH_MAX;
	if (len && user)
		bpf_probe_read_user(&first, 1, path);
	else if (len)
		bpf_probe_read_kernel(&first, 1, path);
	if (len > 1 && !first) {
		to[0] = '@';
		to++;
		path++;
		len--;
		at = 1;
	}
	bound(len, 127);
	if (user)
		got = bpf_probe_read_user_str(to, len + 1, path);
	else
		got = bpf_probe_read_kernel_str(to, len + 1, path);
	if (got <= 0) {
		to[0] = 0;
		got = 1;
	}
	return n + at + got;
}

// put_peer_sockaddr puts the address of the other end of a socket of the internet as SOCKADDR; it reports whether it is one.
static __always_inline bool put_peer_sockaddr(struct scratch *s, struct sock *sk)
{
	u8 *to = room(s);

	if (!sk || !fits(s, 256))
		return false;
	to[0] = BPF_CORE_READ(sk, __sk_common.skc_family);
	switch (to[0]) {
	case AF_INET:
		*(u32 *)(to + 1) = BPF_CORE_READ(sk, __sk_common.skc_daddr);
		*(u16 *)(to + 5) = swap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
		put_len(s, 7);
		return true;
	case AF_INET6:
		bpf_probe_read_kernel(to + 1, 16, &sk->__sk_common.skc_v6_daddr);
		*(u16 *)(to + 17) = swap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
		put_len(s, 19);
		return true;
	}
	return false;
}

// put_user_sockaddr puts an address that the program holds as SOCKADDR.
static __always_inline void put_user_sockaddr(struct scratch *s, u64 addr, u32 len)
{
	u8 *to = room(s);
	u16 family = user_u16(addr);

	if (!addr || len < 2 || !fits(s, 256)) {
		put_empty(s);
		return;
	}
	to[0] = family;
	switch (family) {
	case AF_INET:
		bpf_probe_read_user(to + 1, 4, (void *)(addr + SIN_ADDR));
		*(u16 *)(to + 5) = swap16(user_u16(addr + SIN_PORT));
		put_len(s, 7);
		break;
	case AF_INET6:
		bpf_probe_read_user(to + 1, 16, (void *)(addr + SIN6_ADDR));
		*(u16 *)(to + 17) = swap16(user_u16(addr + SIN_PORT));
		put_len(s, 19);
		break;
	case AF_UNIX:
		len = copy_unix_path(s, 1, (void *)(addr + SUN_PATH), len - SUN_PATH, true);
		s->name_off = s->pos + 1;
		s->name_end = s->pos + len - 1;
		put_len(s, len);
		break;
	default:
		put_len(s, 1);
	}
}

static __always_inline void put_inet_tuple(struct scratch *s, struct sock *sk, enum direction dir, u64 addr)
{
	u8 *to = room(s);
	u8 *local = to + (dir == OUTBOUND ? 1 : 7), *remote = to + (dir == OUTBOUND ? 7 : 1);

	to[0] = AF_INET;
	*(u32 *)local = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
	*(u16 *)(local + 4) = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (addr) {
		*(u32 *)remote = user_u32(addr + SIN_ADDR);
		*(u16 *)(remote + 4) = swap16(user_u16(addr + SIN_PORT));
	} else {
		*(u32 *)remote = BPF_CORE_READ(sk, __sk_common.skc_daddr);
		*(u16 *)(remote + 4) = swap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	}
	put_len(s, 13);
}

static __always_inline void put_inet6_tuple(struct scratch *s, struct sock *sk, enum direction dir, u64 addr)
{
	u8 *to = room(s);
	u8 *local = to + (dir == OUTBOUND ? 1 : 19), *remote = to + (dir == OUTBOUND ? 19 : 1);

	to[0] = AF_INET6;
	bpf_probe_read_kernel(local, 16, &sk->__sk_common.skc_v6_rcv_saddr);
	*(u16 *)(local + 16) = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (addr) {
		bpf_probe_read_user(remote, 16, (void *)(addr + SIN6_ADDR));
		*(u16 *)(remote + 16) = swap16(user_u16(addr + SIN_PORT));
	} else {
		bpf_probe_read_kernel(remote, 16, &sk->__sk_common.skc_v6_daddr);
		*(u16 *)(remote + 16) = swap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	}
	put_len(s, 37);
}

// put_unix_tuple puts the kernel addresses of both ends, the sender's second
// as producers of captures always had it, and the path of the one that has it.
static __always_inline void put_unix_tuple(struct scratch *s, struct sock *sk, enum direction dir, u64 addr, u32 addrlen)
{
	struct unix_sock *own = (void *)sk, *peer = (void *)BPF_CORE_READ(own, peer), *named;
	struct unix_address *name;
	u8 *to = room(s);

	to[0] = AF_UNIX;
	*(u64 *)(to + 1) = (u64)(dir == OUTBOUND ? peer : own);
	*(u64 *)(to + 9) = (u64)(dir == OUTBOUND ? own : peer);
	if (addr && addrlen > SUN_PATH) {
		put_len(s, copy_unix_path(s, 17, (void *)(addr + SUN_PATH), addrlen - SUN_PATH, true));
		return;
	}
	named = dir == OUTBOUND ? peer : own;
	name = named ? BPF_CORE_READ(named, addr) : NULL;
	if (!name) {
		named = dir == OUTBOUND ? own : peer;
		name = named ? BPF_CORE_READ(named, addr) : NULL;
	}
	if (!name) {
		to[17] = 0;
		put_len(s, 18);
		return;
	}
	put_len(s, copy_unix_path(s, 17, &name->name[0].sun_path, BPF_CORE_READ(name, len) - SUN_PATH, false));
}

// put_tuple puts both ends of a socket as SOCKTUPLE. The remote end is the
// program's address of addrlen bytes if it gave or got one. Verified once.
__noinline int put_tuple(s64 fd, u32 dir, u64 addr, u32 addrlen)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	struct sock *sk = sock_of(fd);
	u16 family = sk ? BPF_CORE_READ(sk, __sk_common.skc_family) : 0;

	if (!s)
		return 0;
	if (addrlen < 2 || (addr && user_u16(addr) != family))
		addr = 0;
	if (!fits(s, 256))
		family = 0;
	switch (family) {
	case AF_INET:
		put_inet_tuple(s, sk, dir, addr);
		break;
	case AF_INET6:
		put_inet6_tuple(s, sk, dir, addr);
		break;
	case AF_UNIX:
		put_unix_tuple(s, sk, dir, addr, addrlen);
		break;
	default:
		put_empty(s);
	}
	return 0;
}

#endif
