/* SPDX-License-Identifier: GPL-2.0-only */
/* BCC includes this file before all others (-include). */
#define CONFIG_BPF_SYSCALL 1
#define CONFIG_64BIT 1
#define CONFIG_X86_64 1
