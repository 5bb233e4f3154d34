// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// The parameters of most events are made by a small interpreter: for each
// parameter user space gives a recipe, whose kind is one of these.

#ifndef __PARAM_H
#define __PARAM_H

// In recipe.go and recipes.txt a kind has its name here without KIND_, in
// lower case. A and X stand for recipe.arg and recipe.aux.
enum kind {
	// Made in the first program.
	KIND_EMPTY,
	KIND_RET,       // result, 8 bytes
	KIND_RET32,     // result, 4 bytes
	KIND_ZERO,      // X bytes of zeros
	KIND_INT,       // argument A, an int, as 8 bytes
	KIND_U8,        // argument A
	KIND_U16,
	KIND_U32,
	KIND_U64,
	KIND_FLAGS8,    // argument A translated by the table
	KIND_FLAGS16,
	KIND_FLAGS32,
	KIND_STR,       // string at argument A
	KIND_IN,        // bytes that the call stored at argument A: as many as its result says
	KIND_OUT,       // bytes at argument A: as many as the result, or argument X if it failed
	KIND_OPENFLAGS, // argument A, and what is known of the opened file
	KIND_OPENMODE,  // argument A, 0 if the flags in argument X create nothing
	KIND_DEV,       // of the opened file
	KIND_INO,
	KIND_LAST_PLAIN = KIND_INO,

	// Made by rich.
	KIND_STRIN,      // string that the call stored at argument A
	KIND_USER32,     // 4 bytes at argument A + X
	KIND_USER64,     // 8 bytes at argument A + X
	KIND_USERFLAGS,  // 4 bytes at argument A + X translated by the table
	KIND_USERFD,     // int at argument A + X as 8 bytes, -1 if the call failed
	KIND_USERINT,    // int at argument A + X as 8 bytes
	KIND_USERLONG,   // pointer-sized word X at argument A as 8 bytes
	KIND_LIMIT,      // word X of the struct rlimit at argument A, -1 if there is none
	KIND_HOWFLAGS,   // OPENFLAGS of the struct open_how at argument A
	KIND_HOWMODE,    // its mode
	KIND_CREATFLAGS, // layer of the opened file
	KIND_PIPEINO,    // inode of the descriptor at argument A
	KIND_FDPATH,     // path of the opened file
	KIND_VMSIZE,
	KIND_VMRSS,
	KIND_VMSWAP,
	KIND_CAPS,       // set X of the task: inheritable, permitted, effective
	KIND_TIME,       // timespec at argument A in ns, of 64-bit words if X
	KIND_PAIR64,     // argument A with the high half in argument X, of 32-bit calls
	KIND_POLL,       // descriptors with events at argument A, X of them
	KIND_IOVSIZE,    // bytes of the iovec at argument A with X entries
	KIND_IOVIN,      // data of it, as many as the result says
	KIND_IOVOUT,     // data of it
	KIND_PTRACEADDR,
	KIND_PTRACEDATA,
	KIND_PRCTLSTR,
	KIND_PRCTLINT,
	KIND_KEYCTL,     // argument A as the operation says
	KIND_FSCONFIG,   // X: 0 string, 1 bytes
	KIND_SEMBUF,     // field X%3 (number, operation, flags) of operation X/3 at argument A
	KIND_SEMVAL,
	KIND_QUOTA,      // X: enum quota
	KIND_LAST_RICH = KIND_QUOTA,

	// Made by sockets, as are IN and OUT there.
	KIND_SOCKADDR,   // address at argument A with length X
	KIND_TUPLEOUT,   // of descriptor argument 0, remote end at argument A with length X; none if A is NONE
	KIND_PEERTUPLE,  // TUPLEOUT of a connect: of the internet, the end that it has reached
	KIND_PEERADDR,   // SOCKADDR of a connect, in the same way
	KIND_TUPLEIN,    // the same, X points to the length
	KIND_TUPLEACCEPT,
	KIND_QUEUEPCT,   // backlog of the listening socket in argument 0
	KIND_QUEUELEN,
	KIND_QUEUEMAX,
	KIND_SOCKPTR,    // kernel address of the socket in the descriptor pair at argument A, X: its peer
	KIND_SOCKLEVEL,  // argument A
	KIND_SOCKNAME,   // argument A of level argument X
	KIND_SOCKVAL,    // option at argument A with length X; X points to it if the table is 1
	KIND_MSGSIZE,    // of the message that message.h has opened
	KIND_MSGIN,
	KIND_MSGOUT,
	KIND_MSGTUPLEOUT,
	KIND_MSGTUPLEIN,
	KIND_MSGCONTROL,
	KIND_LAST_SOCKET = KIND_MSGCONTROL,

	KINDS,
};

#define ARG_NONE 7

// The tables that the programs use by themselves; user space numbers the others.
enum {
	TABLE_FILE = 1,
	TABLE_CLONE,
	MAX_TABLES = 64,
	MAX_PAIRS = 48,
};

enum translation_mode {
	TRANSLATE_BITS,  // or together what stands for each group of bits that is set
	TRANSLATE_EXACT, // what stands for the value, otherwise 0
	TRANSLATE_KEEP,  // what stands for the value, otherwise itself
};

struct translation {
	u32 mode;
	u32 n;
	struct {
		u32 from, to;
	} pairs[MAX_PAIRS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_TABLES);
	__type(key, u32);
	__type(value, struct translation);
} translations SEC(".maps");

// translate gives the number that captures have for flags or an enumerator of
// the kernel. A function of its own is verified once, not at every use.
__noinline u32 translate(u32 table, u32 v)
{
	struct translation *t = bpf_map_lookup_elem(&translations, &table);
	u32 out = 0, i;

	if (!t)
		return 0;
	for (i = 0; i < MAX_PAIRS; i++) {
		if (i >= t->n)
			break;
		if (t->mode == TRANSLATE_BITS) {
			if ((v & t->pairs[i].from) == t->pairs[i].from)
				out |= t->pairs[i].to;
		} else if (v == t->pairs[i].from) {
			return t->pairs[i].to;
		}
	}
	return t->mode == TRANSLATE_KEEP ? v : out;
}

// opened returns the file behind the descriptor that the call gave, NULL if it
// gave none, and notes inode, device and layer, which all events of opens have.
static __always_inline struct file *opened(struct scratch *s)
{
	struct file *file = (void *)s->file;
	struct super_block *sb;
	struct inode *inode;

	if (file)
		return file;
	s->ino = 0;
	s->dev = 0;
	s->layer = LAYER_NONE;
	file = file_of(s->ret);
	if (!file)
		return NULL;
	s->file = (u64)file;
	inode = BPF_CORE_READ(file, f_inode);
	sb = BPF_CORE_READ(inode, i_sb);
	s->ino = BPF_CORE_READ(inode, i_ino);
	s->dev = encode_dev(BPF_CORE_READ(sb, s_dev));
	if (BPF_CORE_READ(sb, s_magic) == OVERLAYFS_SUPER_MAGIC)
		s->layer = inode_layer(inode);
	return file;
}

static __always_inline void put_open_flags(struct scratch *s, u32 v)
{
	struct file *file = opened(s);
	u32 flags = translate(TABLE_FILE, v) | (((v & 3) + 1) & 3);

	if (file) {
		if (BPF_CORE_READ(file, f_mode) & FMODE_CREATED)
			flags |= SCAP_O_F_CREATED;
		if (s->layer == LAYER_UPPER)
			flags |= SCAP_UPPER_LAYER;
		if (s->layer == LAYER_LOWER)
			flags |= SCAP_LOWER_LAYER;
	}
	put_u32(s, flags);
}

static __always_inline u32 open_mode(u32 flags, u32 mode)
{
	return flags & (O_CREAT | O_TMPFILE_BIT) ? mode : 0;
}

// put_plain makes the parameter of a plain kind; it reports whether it was one.
static __always_inline bool put_plain(struct scratch *s, struct recipe *r)
{
	u64 a = s->args[r->arg & 7], x = s->args[r->aux & 7];

	switch (r->kind) {
	case KIND_EMPTY:
		put_empty(s);
		break;
	case KIND_RET:
		put_u64(s, s->ret);
		break;
	case KIND_RET32:
		put_u32(s, s->ret);
		break;
	case KIND_ZERO:
		*(u64 *)room(s) = 0;
		put_len(s, r->aux & 15);
		break;
	case KIND_INT:
		put_u64(s, (s64)(s32)a);
		break;
	case KIND_U8:
		put_u8(s, a);
		break;
	case KIND_U16:
		put_u16(s, a);
		break;
	case KIND_U32:
		put_u32(s, a);
		break;
	case KIND_U64:
		put_u64(s, a);
		break;
	case KIND_FLAGS8:
	case KIND_FLAGS16:
	case KIND_FLAGS32:
		*(u32 *)room(s) = translate(r->table, a);
		put_len(s, 1 << (r->kind - KIND_FLAGS8));
		break;
	case KIND_STR:
		put_user_string(s, a);
		break;
	case KIND_IN:
		put_user_bytes(s, a, s->ret > 0 ? s->ret : 0);
		break;
	case KIND_OUT:
		put_user_bytes(s, a, s->ret > 0 ? s->ret : x);
		break;
	case KIND_OPENFLAGS:
		put_open_flags(s, a);
		break;
	case KIND_OPENMODE:
		put_u32(s, open_mode(x, a));
		break;
	case KIND_DEV:
		opened(s);
		put_u32(s, s->dev);
		break;
	case KIND_INO:
		opened(s);
		put_u64(s, s->ino);
		break;
	default:
		return false;
	}
	return true;
}

#endif
