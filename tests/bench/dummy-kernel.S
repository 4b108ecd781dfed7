/* SPDX-License-Identifier: GPL-3.0-or-later
 * Copyright (C) 2026 The hibctl authors
 *
 * A kernel that does nothing but say when it was started. GRUB loads it as it loads Linux, by the 32-bit boot protocol
 * (Documentation/arch/x86/boot.rst), on a PC and on EFI alike. Its first instructions read the ACPI timer; then it
 * prints "START TIMER COMMAND-LINE" to the debug console and stops.
 */
#define PM_TIMER        0x608           /* QEMU's q35, as both firmwares set it up */
#define DEBUG_CONSOLE   0xe9
#define CMD_LINE_PTR    0x228           /* in struct boot_params */

        .code32
        .text
image:
        .org    0x1f1
        .byte   1                       /* setup_sects */
        .org    0x1fe
        .word   0xaa55
        .byte   0xeb, header_end - 0x202 - image
        .ascii  "HdrS"
        .word   0x0208                  /* protocol version */
        .org    0x211
        .byte   1                       /* loadflags: LOADED_HIGH */
        .org    0x214
        .long   0x100000                /* code32_start */
        .org    0x22c
        .long   0x7fffffff              /* initrd_addr_max */
        .org    0x238
        .long   2047                    /* cmdline_size */
        .org    0x250
header_end:

        /* Interrupts are off, segments flat, ESI is boot_params. */
        .org    0x400
        movw    $PM_TIMER, %dx
        inl     %dx, %eax
        movl    %eax, %ebx
        movw    $DEBUG_CONSOLE, %dx
        movl    $8, %ecx
digit:
        roll    $4, %ebx
        movb    %bl, %al
        andb    $15, %al
        addb    $'0', %al
        cmpb    $'9', %al
        jbe     print
        addb    $'a' - '0' - 10, %al
print:
        outb    %al, %dx
        loop    digit
        movb    $' ', %al
        outb    %al, %dx
        movl    CMD_LINE_PTR(%esi), %esi
next:
        lodsb
        testb   %al, %al
        jz      end
        outb    %al, %dx
        jmp     next
end:
        movb    $'\n', %al
        outb    %al, %dx
        cli
stop:
        hlt
        jmp     stop
