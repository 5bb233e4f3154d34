// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// The parameters of calls on sockets, messages among them.

#ifndef __MESSAGE_H
#define __MESSAGE_H

#define SOL_SOCKET 1
#define SOL_TCP 6
#define SO_ERROR 4
#define SO_RCVTIMEO 20
#define SO_SNDTIMEO 21
#define SO_COOKIE 57
#define SO_RCVTIMEO_NEW 66
#define SO_SNDTIMEO_NEW 67
#define SO_TIMESTAMP_FIRST 29

// Variants of the DYN value of a socket option.
enum { OPT_BYTES, OPT_ERRNO, OPT_U32, OPT_U64, OPT_TIME };

// Words of struct msghdr: pointers and lengths, except that msg_namelen is an
// int padded to a word; and how many a struct mmsghdr has.
enum { MSG_NAME, MSG_NAMELEN, MSG_IOV, MSG_IOVLEN, MSG_CONTROL, MSG_CONTROLLEN, MSG_FLAGS, MSG_WORDS };

static __always_inline u32 word_size(struct scratch *s)
{
	return s->compat ? 4 : 8;
}

// open_message reads a struct msghdr into the scratch area.
static __always_inline void open_message(struct scratch *s, u64 msg)
{
	s->addr = user_word(s, msg, MSG_NAME);
	s->addrlen = user_u32(msg + MSG_NAMELEN * word_size(s));
	s->iov = user_word(s, msg, MSG_IOV);
	s->iovlen = user_word(s, msg, MSG_IOVLEN);
	s->control = user_word(s, msg, MSG_CONTROL);
	s->controllen = user_word(s, msg, MSG_CONTROLLEN);
}

// open_mmessage reads message i of a vector of struct mmsghdr (a struct msghdr
// and the u32 of bytes transferred, padded), and makes its bytes the result.
static __always_inline void open_mmessage(struct scratch *s, u64 vec, u32 i)
{
	u64 msg = vec + i * (MSG_WORDS + 1) * word_size(s);

	open_message(s, msg);
	s->ret = user_u32(msg + MSG_WORDS * word_size(s));
}

static __always_inline void put_sock_ptr(struct scratch *s, u64 addr, bool peer)
{
	struct sock *sk = s->ret < 0 ? NULL : sock_of((s32)user_u32(addr));

	if (sk && peer) {
		struct unix_sock *u = (void *)sk;
		sk = BPF_CORE_READ(sk, __sk_common.skc_family) == AF_UNIX ? BPF_CORE_READ(u, peer) : NULL;
	}
	put_u64(s, (u64)sk);
}

static __always_inline void put_queue(struct scratch *s, u32 kind)
{
	struct sock *sk = sock_of((s32)s->args[0]);
	u32 len = sk ? BPF_CORE_READ(sk, sk_ack_backlog) : 0, max = sk ? BPF_CORE_READ(sk, sk_max_ack_backlog) : 0;

	if (kind == KIND_QUEUEPCT)
		put_u8(s, max && len <= max ? len * 100ULL / max : 0);
	else
		put_u32(s, kind == KIND_QUEUELEN ? len : max);
}

static __always_inline void put_sock_time(struct scratch *s, u64 addr, bool wide)
{
	u8 *to = room(s);
	u64 sec = wide ? user_u64(addr) : user_word(s, addr, 0), usec = wide ? user_u64(addr + 8) : user_word(s, addr, 1);

	to[0] = OPT_TIME;
	*(u64 *)(to + 1) = sec * 1000000000ULL + usec * 1000;
	put_len(s, 9);
}

static __always_inline void put_sock_value(struct scratch *s, u64 addr, u32 len)
{
	u32 level = s->args[1], name = s->args[2];
	u8 *to = room(s);

	if (!addr || (s->ret < 0 && s->type == SOCKET_GETSOCKOPT_X)) {
		put_empty(s);
		return;
	}
	if (level != SOL_SOCKET)
		name = 0;
	switch (name) {
	case SO_ERROR:
		to[0] = OPT_ERRNO;
		*(s64 *)(to + 1) = -(s64)(s32)user_u32(addr);
		put_len(s, 9);
		return;
	case SO_RCVTIMEO:
	case SO_SNDTIMEO:
		put_sock_time(s, addr, false);
		return;
	case SO_RCVTIMEO_NEW:
	case SO_SNDTIMEO_NEW:
		put_sock_time(s, addr, true);
		return;
	case SO_COOKIE:
		to[0] = OPT_U64;
		*(u64 *)(to + 1) = user_u64(addr);
		put_len(s, 9);
		return;
	}
	if (level == SOL_SOCKET && len == 4) {
		to[0] = OPT_U32;
		*(u32 *)(to + 1) = user_u32(addr);
		put_len(s, 5);
		return;
	}
	if (len > s->snaplen)
		len = s->snaplen;
	to[0] = OPT_BYTES;
	s->filled = 1;
	add_user(s, addr, len);
	put_pieces(s);
}

// put_message makes the parameters of messages and of their data.
static __always_inline bool put_message(struct scratch *s, struct recipe *r)
{
	s64 fd = (s32)s->args[0];

	switch (r->kind) {
	case KIND_MSGSIZE:
		put_iov_size(s, s->iov, s->iovlen);
		break;
	case KIND_MSGIN:
		put_iov_data(s, s->iov, s->iovlen, s->ret > 0 ? s->ret : 0);
		break;
	case KIND_MSGOUT:
		put_iov_data(s, s->iov, s->iovlen, s->ret > 0 ? s->ret : MAX_SNAPLEN);
		break;
	case KIND_MSGTUPLEOUT:
		put_tuple(fd, OUTBOUND, s->addr, s->addrlen);
		break;
	case KIND_MSGTUPLEIN:
		if (s->ret < 0)
			put_empty(s);
		else
			put_tuple(fd, INBOUND, s->addr, s->addrlen);
		break;
	case KIND_MSGCONTROL:
		put_user_bytes(s, s->ret < 0 ? 0 : s->control, s->controllen);
		break;
	default:
		return false;
	}
	return true;
}

static __always_inline bool is_unix(s64 fd)
{
	struct sock *sk = sock_of(fd);

	return sk && BPF_CORE_READ(sk, __sk_common.skc_family) == AF_UNIX;
}

// put_socket makes the other parameters of calls on sockets.
static __always_inline void put_socket(struct scratch *s, struct recipe *r)
{
	u64 a = s->args[r->arg & 7], x = s->args[r->aux & 7];
	s64 fd = (s32)s->args[0];

	switch (r->kind) {
	case KIND_USER32:
		put_user_mem(s, a ? a + r->aux : 0, 4);
		break;
	case KIND_USERFD:
		put_user_fd(s, a + r->aux);
		break;
	case KIND_SOCKADDR:
		put_user_sockaddr(s, a, x);
		break;
	case KIND_PEERTUPLE:
		put_tuple(fd, OUTBOUND, connected(s) && !is_unix(fd) ? 0 : a, x);
		break;
	case KIND_PEERADDR:
		if (!connected(s) || !put_peer_sockaddr(s, sock_of(fd)))
			put_user_sockaddr(s, a, x);
		break;
	case KIND_TUPLEOUT:
		put_tuple(fd, OUTBOUND, r->arg == ARG_NONE ? 0 : a, x);
		break;
	case KIND_TUPLEIN:
		if (s->ret < 0)
			put_empty(s);
		else
			put_tuple(fd, INBOUND, a, a ? user_u32(x) : 0);
		break;
	case KIND_TUPLEACCEPT:
		put_tuple(s->ret, INBOUND, 0, 0);
		break;
	case KIND_QUEUEPCT:
	case KIND_QUEUELEN:
	case KIND_QUEUEMAX:
		put_queue(s, r->kind);
		break;
	case KIND_SOCKPTR:
		put_sock_ptr(s, a, r->aux);
		break;
	case KIND_SOCKLEVEL:
		put_u8(s, a == SOL_SOCKET ? 1 : a == SOL_TCP ? 2 : 0);
		break;
	case KIND_SOCKNAME:
		put_u8(s, x == SOL_SOCKET ? translate(r->table, a) : 0);
		break;
	case KIND_SOCKVAL:
		put_sock_value(s, a, r->table ? user_u32(x) : x);
		break;
	default:
		put_empty(s);
	}
}

#endif
