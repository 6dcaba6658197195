/* SPDX-License-Identifier: GPL-2.0-only */
/* BCC puts this number into kprobe programs; kernels from 5.0 on ignore it (commit 6c4fc209fcf9). */
#define LINUX_VERSION_CODE 0
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
