// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// Whether the argument that we see when a call ends is the one that the kernel has used. The memory is the
// program's, and another of its threads may write to it meanwhile. What the call has opened or connected to is not.

#ifndef __ARGUMENT_H
#define __ARGUMENT_H

#define AT_FDCWD -100
#define MAX_COMPONENTS 40

// has_name reports whether the argument, which is in s->data from s->name_off to s->name_end, ends in that name as a
// whole component, and takes it off. Verified once.
__noinline int has_name(u64 name, u32 len)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	u32 i, at;

	if (!s)
		return 0;
	bound(len, 255);
	at = s->name_end;
	if (!len || at < s->name_off + len)
		return 0;
	at -= len;
	if (bpf_probe_read_kernel(s->path, len, (void *)name))
		return 0;
	for (i = 0; i < 32; i++) {
		u64 diff = *(u64 *)(s->path + 8 * i) ^ *(u64 *)(s->data + ((at + 8 * i) & 0xffff));

		if (8 * i >= len)
			break;
		if (len - 8 * i < 8)
			diff &= (1ULL << (8 * (len - 8 * i) & 63)) - 1;
		if (diff)
			return 0;
	}
	if (at > s->name_off) {
		if (s->data[(at - 1) & 0xffff] != '/')
			return 0;
		at--;
	}
	s->name_end = at;
	return 1;
}

// find_base notes where an argument begins: at the root of the task if it is absolute, else in the directory that it is
// relative to.
__noinline int find_base(s64 dirfd, u32 absolute)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	struct path base = {};
	struct file *dir;

	if (!s)
		return 0;
	if (!absolute && dirfd != AT_FDCWD) {
		dir = file_of(dirfd);
		if (dir)
			base = BPF_CORE_READ(dir, f_path);
	} else if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)) {
		struct fs_struct *fs = bpf_get_current_task_btf()->fs;

		base.mnt = absolute ? fs->root.mnt : fs->pwd.mnt;
		base.dentry = absolute ? fs->root.dentry : fs->pwd.dentry;
	} else {
		struct task_struct *task = current_task();
		struct fs_struct *fs = BPF_CORE_READ(task, fs);

		base = absolute ? BPF_CORE_READ(fs, root) : BPF_CORE_READ(fs, pwd);
	}
	s->base_mnt = (u64)base.mnt;
	s->base_dentry = (u64)base.dentry;
	return 0;
}

// trim takes off what a name may have beside its components: ./name, name/, and the / of an absolute one; it
// reports whether it was absolute.
static __always_inline u32 trim(struct scratch *s)
{
	u8 first = s->data[s->name_off & 0xffff], second = s->data[(s->name_off + 1) & 0xffff];
	u32 len = s->name_end - s->name_off;

	if (len > 1 && s->data[(s->name_end - 1) & 0xffff] == '/')
		s->name_end--;
	if (first == '/')
		s->name_off++;
	else if (first == '.' && (len == 1 || second == '/'))
		s->name_off += len == 1 ? 1 : 2;
	return first == '/';
}

// names reports whether the string at s->name_off, which ends at s->name_end, is the way to a file, name by
// name and without links: 1 if so. Links, and what is not in its shortest form, user space looks at.
__noinline int names(u64 dentry_at, u64 mnt_at, s64 dirfd)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	const u32 inner = bpf_core_field_offset(struct mount, mnt);
	struct mount *mount = (void *)mnt_at - inner;
	struct dentry *dentry = (void *)dentry_at;
	struct dentry_words d = {};
	struct mount_words m = {};
	u32 off, len, i;

	if (!s)
		return 0;
	off = s->name_off;
	len = s->name_end - off;
	find_base(dirfd, trim(s));
	read_mount(mount, &m);
	for (i = 0; i < MAX_COMPONENTS; i++) {
		barrier();
		if (s->name_end <= s->name_off && (u64)dentry == s->base_dentry && (u64)mount + inner == s->base_mnt) {
			s->plain_off = off;
			s->plain_len = len;
			return 1;
		}
		if (dentry == m.root) {
			if (m.parent == mount || !m.parent)
				return 0;
			dentry = m.mountpoint;
			mount = m.parent;
			read_mount(mount, &m);
			continue;
		}
		read_dentry(dentry, &d);
		if (!has_name((u64)d.name, d.len))
			return 0;
		dentry = d.parent;
	}
	return 0;
}

// tell_path adds the path of the file to what is sent beside the event.
static __always_inline void tell_path(struct scratch *s, struct dentry *dentry, struct vfsmount *mnt)
{
	u32 off = walk_path((u64)dentry, (u64)mnt, ROOT_SYSCALL), len = MAX_PATH - off;

	if (len > MAX_PATH || !fits(s, MAX_PATH + 32))
		return;
	bound(len, 2 * MAX_PATH - 1);
	bpf_probe_read_kernel(room(s), len, &s->path[off & (MAX_PATH - 1)]);
	s->beside = len;
	s->beside_kind = BESIDE_PATH;
}

// check_opened compares the name that an open gives with the file that it has opened.
__noinline int check_opened(s64 dirfd)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	struct file *file;
	struct path path;

	if (!s || s->name_end <= s->name_off)
		return 0;
	file = opened(s);
	if (!file)
		return 0;
	path = BPF_CORE_READ(file, f_path);
	if (!names((u64)path.dentry, (u64)path.mnt, dirfd))
		tell_path(s, path.dentry, path.mnt);
	return 0;
}

// check_connected compares the path that a connect gives with the socket that it has reached. Addresses of
// the internet are taken from the socket itself, see connected.
__noinline int check_connected(void)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	struct unix_sock *own, *peer;
	struct dentry *dentry;
	struct vfsmount *mnt;

	if (!s)
		return 0;
	own = (void *)sock_of((s32)s->args[0]);
	if (!own || BPF_CORE_READ(own, sk.__sk_common.skc_family) != AF_UNIX)
		return 0;
	peer = (void *)BPF_CORE_READ(own, peer);
	dentry = peer ? BPF_CORE_READ(peer, path.dentry) : NULL;
	if (!dentry || s->name_end <= s->name_off)
		return 0;
	mnt = BPF_CORE_READ(peer, path.mnt);
	if (!names((u64)dentry, (u64)mnt, AT_FDCWD))
		tell_path(s, dentry, mnt);
	return 0;
}

// tell_sample adds what the argument of a failed call was at its beginning. User space compares them: they differ hardly ever.
__noinline int tell_sample(void)
{
	struct scratch *s = scratch_of(ROOT_SYSCALL);
	u32 tid = bpf_get_current_pid_tgid(), len;
	struct sample *sample;

	if (!s)
		return 0;
	sample = sample_of(tid, s->call);
	if (!sample)
		return 0;
	len = sample->len;
	if (len > MAX_STRING || !fits(s, MAX_STRING + 32))
		return 0;
	bound(len, 2 * MAX_STRING - 1);
	bpf_probe_read_kernel(room(s), len, sample->bytes);
	s->beside = len;
	s->beside_kind = BESIDE_SAMPLE;
	return 0;
}

// check_argument makes sure of the argument of a call that opens, connects or executes.
static __always_inline void check_argument(struct scratch *s, struct call *call)
{
	if (s->ret >= 0 && call->flags & CALL_OPENS) {
		check_opened(call->flags & CALL_AT ? (s32)s->args[0] : AT_FDCWD);
	} else if (connected(s) && call->flags & CALL_CONNECTS) {
		check_connected();
	} else if (sample_entries && s->ret < 0) {
		tell_sample();
	}
}

#endif
