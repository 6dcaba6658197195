/* SPDX-License-Identifier: GPL-2.0-only */
/* The registers of an x86-64 kprobe's context, in the order of arch/x86/include/asm/ptrace.h. */
#ifndef HTTPBPF_PTRACE_H
#define HTTPBPF_PTRACE_H

struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx;
	unsigned long r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long orig_ax, ip, cs, flags, sp, ss;
};

#endif
