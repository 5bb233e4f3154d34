// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// Files: what a descriptor stands for, where a path is, what an overlayfs does with it.

#ifndef __FILE_H
#define __FILE_H

#define OVERLAYFS_SUPER_MAGIC 0x794c7630

#define O_CREAT 0100
#define O_TMPFILE_BIT 020000000
#define FMODE_CREATED 0x100000

// The deepest path that is followed. Deeper ones lose their beginning.
#define MAX_DEPTH 80

// Of the table file_flags.
#define SCAP_O_F_CREATED (1 << 14)
#define SCAP_UPPER_LAYER (1 << 15)
#define SCAP_LOWER_LAYER (1 << 16)

enum layer {
	LAYER_NONE,
	LAYER_UPPER,
	LAYER_LOWER,
};

// file_of returns the file of a descriptor of the running task, or NULL. Where
// the kernel gives a typed task, the way to the table is plain loads.
static __always_inline struct file *file_of(s64 fd)
{
	struct file *file = NULL, **files;
	u32 max;

	if (fd < 0)
		return NULL;
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)) {
		struct fdtable *table = bpf_get_current_task_btf()->files->fdt;

		max = table->max_fds;
		files = table->fd;
	} else {
		struct task_struct *task = current_task();
		struct fdtable *table = BPF_CORE_READ(task, files, fdt);

		max = BPF_CORE_READ(table, max_fds);
		files = BPF_CORE_READ(table, fd);
	}
	if (fd >= max)
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), files + fd);
	return file;
}

// encode_dev is the 32-bit encoding of a device that struct stat has.
static __always_inline u32 encode_dev(u32 dev)
{
	u32 major = dev >> 20, minor = dev & 0xfffff;

	return (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12);
}

static __always_inline u64 inode_mtime(struct inode *inode)
{
	if (bpf_core_field_exists(inode->i_mtime_sec))
		return BPF_CORE_READ(inode, i_mtime_sec) * 1000000000ULL + BPF_CORE_READ(inode, i_mtime_nsec);
	struct inode___v67 *v67 = (void *)inode;
	if (bpf_core_field_exists(v67->__i_mtime))
		return BPF_CORE_READ(v67, __i_mtime.tv_sec) * 1000000000ULL + BPF_CORE_READ(v67, __i_mtime.tv_nsec);
	struct inode___v65 *v65 = (void *)inode;
	return BPF_CORE_READ(v65, i_mtime.tv_sec) * 1000000000ULL + BPF_CORE_READ(v65, i_mtime.tv_nsec);
}

static __always_inline u64 inode_ctime(struct inode *inode)
{
	if (bpf_core_field_exists(inode->i_ctime_sec))
		// Since 6.13 the highest bit says that somebody has asked for the time.
		return BPF_CORE_READ(inode, i_ctime_sec) * 1000000000ULL + (BPF_CORE_READ(inode, i_ctime_nsec) & 0x7fffffff);
	struct inode___v67 *v67 = (void *)inode;
	if (bpf_core_field_exists(v67->__i_ctime))
		return BPF_CORE_READ(v67, __i_ctime.tv_sec) * 1000000000ULL + BPF_CORE_READ(v67, __i_ctime.tv_nsec);
	struct inode___v65 *v65 = (void *)inode;
	return BPF_CORE_READ(v65, i_ctime.tv_sec) * 1000000000ULL + BPF_CORE_READ(v65, i_ctime.tv_nsec);
}

// inode_layer tells in which layer an overlayfs has a file. The overlay may be
// a module, whose types the kernel's BTF lacks: of struct ovl_inode it is only
// used that the dentry in the upper layer follows the embedded struct inode,
// as it has in every version so far.
static __always_inline enum layer inode_layer(struct inode *inode)
{
	struct dentry *upper = NULL;

	if (BPF_CORE_READ(inode, i_sb, s_magic) != OVERLAYFS_SUPER_MAGIC)
		return LAYER_NONE;
	bpf_probe_read_kernel(&upper, sizeof(upper), (void *)inode + bpf_core_type_size(struct inode));
	if (upper && BPF_CORE_READ(upper, d_inode))
		return LAYER_UPPER;
	return LAYER_LOWER;
}

static __always_inline bool is_memfd(struct file *file)
{
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	char name[7] = {};

	if (BPF_CORE_READ(dentry, d_parent) != dentry)
		return false;
	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(dentry, d_name.name));
	return name[0] == 'm' && name[1] == 'e' && name[2] == 'm' && name[3] == 'f' && name[4] == 'd' && name[5] == ':';
}

// What a walk up a path needs of a dentry and of a mount. In every version so far these members follow each
// other, so one read does for all; where they do not, each is read by itself.
struct dentry_words {
	struct dentry *parent;
	u32 hash, len;
	const u8 *name;
};

static __always_inline void read_dentry(struct dentry *dentry, struct dentry_words *w)
{
	if (bpf_core_field_offset(struct dentry, d_name) == bpf_core_field_offset(struct dentry, d_parent) + 8 &&
	    bpf_core_field_offset(struct qstr, len) == 4 && bpf_core_field_offset(struct qstr, name) == 8) {
		bpf_probe_read_kernel(w, sizeof(*w), (void *)dentry + bpf_core_field_offset(struct dentry, d_parent));
		return;
	}
	w->parent = BPF_CORE_READ(dentry, d_parent);
	w->len = BPF_CORE_READ(dentry, d_name.len);
	w->name = BPF_CORE_READ(dentry, d_name.name);
}

struct mount_words {
	struct mount *parent;
	struct dentry *mountpoint, *root;
};

static __always_inline void read_mount(struct mount *mount, struct mount_words *w)
{
	if (bpf_core_field_offset(struct mount, mnt_mountpoint) == bpf_core_field_offset(struct mount, mnt_parent) + 8 &&
	    bpf_core_field_offset(struct mount, mnt) == bpf_core_field_offset(struct mount, mnt_parent) + 16 &&
	    bpf_core_field_offset(struct vfsmount, mnt_root) == 0) {
		bpf_probe_read_kernel(w, sizeof(*w), (void *)mount + bpf_core_field_offset(struct mount, mnt_parent));
		return;
	}
	w->parent = BPF_CORE_READ(mount, mnt_parent);
	w->mountpoint = BPF_CORE_READ(mount, mnt_mountpoint);
	w->root = BPF_CORE_READ(mount, mnt.mnt_root);
}

// prepend writes "/NAME" in front of what stands at s->path + off and returns
// the new offset. Callers keep the offset in s->path_off between steps: what
// comes from a map is any number to the verifier, so that it need not follow
// each way through a loop on its own.
static __always_inline u32 prepend(struct scratch *s, u32 off, const void *name, u32 len)
{
	len &= 255;
	if (off < len + 1)
		return off;
	off -= len;
	bpf_probe_read_kernel(&s->path[off & (MAX_PATH - 1)], len, name);
	off--;
	s->path[off & (MAX_PATH - 1)] = '/';
	return off;
}

// walk_path writes the path of a dentry in a mount, up to the root of the mount
// namespace, to the end of the scratch area's path buffer, and returns its
// offset; it ends, without NUL, at MAX_PATH. A function of its own, verified once.
__noinline int walk_path(u64 dentry_at, u64 vfsmount_at, u32 root)
{
	struct scratch *s = scratch_of(root);
	struct mount *mount = (void *)vfsmount_at - bpf_core_field_offset(struct mount, mnt);
	struct dentry *dentry = (void *)dentry_at;
	struct dentry_words d = {};
	struct mount_words m = {};
	u32 off, i;

	if (!s)
		return MAX_PATH;
	s->path_off = MAX_PATH;
	read_mount(mount, &m);
	for (i = 0; i < MAX_DEPTH; i++) {
		if (dentry == m.root) {
			if (m.parent == mount || !m.parent)
				break;
			dentry = m.mountpoint;
			mount = m.parent;
			read_mount(mount, &m);
			continue;
		}
		read_dentry(dentry, &d);
		off = *(volatile u32 *)&s->path_off;
		s->path_off = prepend(s, off, d.name, d.len);
		if (d.parent == dentry || !d.parent)
			break;
		dentry = d.parent;
	}
	off = *(volatile u32 *)&s->path_off;
	if (off == MAX_PATH) {
		off--;
		s->path[off & (MAX_PATH - 1)] = '/';
	}
	return off;
}

// put_built_path puts what walk_path or walk_cgroup has left at s->path + off.
static __always_inline void put_built_path(struct scratch *s, u32 off)
{
	u32 len = MAX_PATH - off;
	u8 *to = room(s);

	if (len > MAX_PATH || !fits(s, MAX_PATH + 1)) {
		put_empty(s);
		return;
	}
	bound(len, 2 * MAX_PATH - 1);
	bpf_probe_read_kernel(to, len, &s->path[off & (MAX_PATH - 1)]);
	s->data[(s->pos + len) & 0xffff] = 0;
	put_len(s, len + 1);
}

static __always_inline void put_path(struct scratch *s, struct path *path, u32 root)
{
	struct dentry *dentry = BPF_CORE_READ(path, dentry);

	if (!dentry) {
		put_empty(s);
		return;
	}
	put_built_path(s, walk_path((u64)dentry, (u64)BPF_CORE_READ(path, mnt), root));
}

#endif
