# SPDX-License-Identifier: Apache-2.0
#
# The test guest: one boot sector. It owns nothing but the range of memory it is told to write, and
# knows nothing of migration: it fills the range once, then for ever adds one to byte 0 of every
# page in order and prints a character each round. From the memory alone a checker can then prove
# that no write was lost or replayed. tools/vmm/guest_params.h describes the same block and pattern
# for the C++ side.
#
# Start: real mode at 0:0x7c00. EAX = "VCPU" and EBX = index when tern-vmm starts a vCPU; anything
# else (a PC's firmware) means index 0.
#
# Parameter block at 0x500, little-endian, written by the VMM before the start. Where the magic is
# missing the guest writes the block itself with its defaults, so that its memory can be checked
# there too.
#   +0x00 u32 magic "TERN"     +0x04 u32 version 1
#   +0x08 u64 range start      +0x10 u64 range length in pages    (both below 4 GiB here)
#   +0x18 u64 TSC ticks per page, 0 = full speed                  +0x20 u32 number of vCPUs
#   +0x24 u32 flags; bit 0: a page takes its ticks from when it is begun, so that time in which the
#         vCPU did not run is lost, as it is for work; otherwise the average rate is kept
#   +0x40 per vCPU: u32 pages filled, u32 rounds done
#
# Registers once it runs: EBX status of this vCPU, EBP first byte of its slice, ESP end of it (there
# is no stack), EDI page at work, ECX:ESI time when the page may be left. All state is in registers
# and in the block: whoever moves both moves the guest. While it fills, XMM0-3 hold 64 bytes of the
# page.

        .set    BLOCK, 0x500
        .set    MAGIC, 0x4e524554       # "TERN"
        .set    VCPU_MAGIC, 0x55504356  # "VCPU"
        .set    VERSION, BLOCK + 0x04
        .set    START, BLOCK + 0x08
        .set    PAGES, BLOCK + 0x10
        .set    TICKS, BLOCK + 0x18
        .set    VCPUS, BLOCK + 0x20
        .set    FLAGS, BLOCK + 0x24
        .set    STATUS, BLOCK + 0x40
        .set    DEFAULT_START, 0x100000
        .set    DEFAULT_PAGES, 4096
        .set    COM1, 0x3f8

        .code16
        .globl  start
start:
        cli
        cld
        cmpl    $VCPU_MAGIC, %eax
        je      1f
        xorl    %ebx, %ebx
1:      xorw    %ax, %ax
        movw    %ax, %ds
        inb     $0x92, %al              # A20 on; bit 0 would reset the machine
        orb     $2, %al
        andb    $0xfe, %al
        outb    %al, $0x92
        lgdtl   gdt_pointer
        movl    %cr0, %eax
        orb     $1, %al
        andb    $0xfb, %al              # no emulation of the FPU: SSE fills the pages
        movl    %eax, %cr0
        movl    %cr4, %eax
        orw     $0x200, %ax             # OSFXSR
        movl    %eax, %cr4
        ljmp    $8, $protected

        .code32
protected:
        movl    $16, %eax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss

        cmpl    $MAGIC, BLOCK
        je      slice
        movl    $BLOCK, %edi            # no VMM of ours: the defaults, one vCPU
        xorl    %eax, %eax
        movl    $(0x48 / 4), %ecx
        rep stosl
        incl    VERSION
        incl    VCPUS
        movl    $DEFAULT_START, START
        movl    $DEFAULT_PAGES, PAGES
        movl    $MAGIC, BLOCK

slice:                                  # pages [i * total / n, (i + 1) * total / n)
        cmpl    VCPUS, %ebx
        jae     idle
        movl    %ebx, %eax
        mull    PAGES
        divl    VCPUS
        shll    $12, %eax
        addl    START, %eax
        movl    %eax, %ebp
        leal    1(%ebx), %eax
        mull    PAGES
        divl    VCPUS
        shll    $12, %eax
        addl    START, %eax
        movl    %eax, %esp
        leal    STATUS(, %ebx, 8), %ebx
        movl    %ebp, %edi
        cmpl    %esp, %edi
        jae     idle

fill:                                   # 16 words that tell the page, repeated; byte 0 counts
        movl    %edi, %eax
        shrl    $12, %eax
        imull   $0x85ebca6b, %eax, %eax
        incl    %eax
        movl    %edi, %esi
        movl    $16, %ecx
1:      stosl
        addl    $0x9e3779b1, %eax
        loop    1b
        # 16 bytes a step, not 4: where KVM has to emulate protected mode instruction by
        # instruction, rep movsl took three times as long.
        movups  (%esi), %xmm0
        movups  16(%esi), %xmm1
        movups  32(%esi), %xmm2
        movups  48(%esi), %xmm3
        movl    $63, %ecx
1:      movups  %xmm0, (%edi)
        movups  %xmm1, 16(%edi)
        movups  %xmm2, 32(%edi)
        movups  %xmm3, 48(%edi)
        addl    $64, %edi
        loop    1b
        movb    $0, (%esi)
        incl    (%ebx)
        cmpl    %esp, %edi
        jb      fill

        rdtsc
        movl    %eax, %esi
        movl    %edx, %ecx
round:
        movl    %ebp, %edi
page:
        incb    (%edi)
        addl    $4096, %edi
        movl    TICKS, %eax
        orl     TICKS + 4, %eax
        jz      next
        testb   $1, FLAGS
        jz      1f
        rdtsc
        movl    %eax, %esi
        movl    %edx, %ecx
1:      addl    TICKS, %esi             # leave this page when its time is over
        adcl    TICKS + 4, %ecx
wait:
        rdtsc
        subl    %esi, %eax
        sbbl    %ecx, %edx              # EDX:EAX = now - time to leave
        js      early
        jnz     resync                  # later than 2^31 ticks, about a second: it stood still,
        testl   %eax, %eax              # no burst to make up for that
        js      resync
        jmp     next                    # else the average rate is kept
early:
        addl    TICKS, %eax
        adcl    TICKS + 4, %edx
        js      resync                  # more than a page early: the clock was set back
        pause
        jmp     wait
resync:
        rdtsc
        movl    %eax, %esi
        movl    %edx, %ecx
next:
        cmpl    %esp, %edi
        jb      page

        movl    4(%ebx), %edi
        incl    4(%ebx)
        cmpl    $STATUS, %ebx           # only vCPU 0 prints
        jne     round
        movl    %edi, %eax
        xorl    %edx, %edx
        divl    alphabet
        leal    'A'(%edx), %edi
        movl    $(COM1 + 5), %edx
1:      inb     %dx, %al
        testb   $0x20, %al
        jz      1b
        movl    %edi, %eax
        movb    $(COM1 & 0xff), %dl
        outb    %al, %dx
        jmp     round

idle:
        hlt
        jmp     idle

        .balign 8
gdt:
        .quad   0
        .quad   0x00cf9a000000ffff      # 0x08: code, 4 GiB flat
        .quad   0x00cf92000000ffff      # 0x10: data, 4 GiB flat
gdt_pointer:
        .word   gdt_pointer - gdt - 1
        .long   gdt
        .balign 4
alphabet:
        .long   26

        .org    510
        .word   0xaa55
