/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * A kernel that says on the serial line how it was started, and switches QEMU
 * off. Linux/x86 boot protocol 2.06, 32-bit entry: %esi points to boot_params.
 */
#define COM1		0x3f8
#define EXIT_PORT	0xf4	/* isa-debug-exit */
#define RAMDISK_IMAGE	0x218	/* in boot_params */
#define RAMDISK_SIZE	0x21c
#define CMD_LINE_PTR	0x228

	.code32
	.globl	start
start:
	mov	%esi, %ebp
	call	1f
1:	pop	%edi			/* where we are loaded */
	lea	(before - 1b)(%edi), %ebx
	call	print
	mov	CMD_LINE_PTR(%ebp), %ebx
	call	print
	lea	(between - 1b)(%edi), %ebx
	call	print
	mov	RAMDISK_IMAGE(%ebp), %ebx
	mov	RAMDISK_SIZE(%ebp), %ecx
	test	%ecx, %ecx
	jz	2f
	call	print			/* the test's ramdisk ends with a NUL */
2:	lea	(after - 1b)(%edi), %ebx
	call	print
	mov	$EXIT_PORT, %dx
	mov	$0x10, %al
	out	%al, %dx
3:	hlt
	jmp	3b

/* The text at %ebx. */
print:
	mov	(%ebx), %al
	inc	%ebx
	test	%al, %al
	jz	5f
	mov	%al, %cl
4:	mov	$(COM1 + 5), %dx	/* wait until the line takes a byte */
	in	%dx, %al
	test	$0x20, %al
	jz	4b
	mov	%cl, %al
	mov	$COM1, %dx
	out	%al, %dx
	jmp	print
5:	ret

before:		.asciz "\r\nKERNEL["
between:	.asciz "] RAMDISK["
after:		.asciz "]\r\n"
