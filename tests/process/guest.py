#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A boot sector that never stops writing: 

    guest.py FILE            makes it
    guest.py passes MEMORY   has it written everywhere?
    guest.py check MEMORY    is it of one moment?

In 16-bit mode, with 4 GiB segments, it fills 16 MiB from 1 MiB on, page after page, with a number that
grows with each pass, for ever.
"""
import sys

code = bytes.fromhex(
    "fa"            # cli
    "31c0 8ed8"     # xor ax, ax; mov ds, ax
    "e492 0c02 e692"  # A20: in al, 0x92; or al, 2; out 0x92, al
    "0f0116 807c"   # lgdt [0x7c80]
    "0f20c0 0c01 0f22c0"  # protected mode on
    "bb0800 8edb"   # mov bx, 8; mov ds, bx
    "24fe 0f22c0"   # and off: ds keeps its 4 GiB
    "6631c0"        # xor eax, eax
    # pass:
    "6640"          # inc eax
    "66bf00001000"  # mov edi, 1 MiB
    # page:
    "67668907"      # mov [edi], eax
    "676689870008 0000"  # mov [edi + 0x800], eax
    "6681c700100000"  # add edi, 4096
    "6681ff00001001"  # cmp edi, 17 MiB
    "72e4"          # jb page
    "ebda"          # jmp pass
)
gdt = bytes.fromhex("1700 887c 0000 0000" "0000000000000000" "ffff000000" "92cf00")
sector = code.ljust(0x80, b"\0") + gdt


def passes(path):
    """The two words of each page that the guest writes to: they never differ by more than one write."""
    with open(path, "rb") as f:
        f.seek(1 << 20)
        memory = f.read(16 << 20)
    word = [int.from_bytes(memory[i:i + 4], "little") for i in range(0, len(memory), 4096)]
    later = [int.from_bytes(memory[i:i + 4], "little") for i in range(0x800, len(memory), 4096)]
    return word, later


if len(sys.argv) == 2:
    with open(sys.argv[1], "wb") as f:
        f.write(sector.ljust(510, b"\0") + b"\x55\xaa")
    sys.exit(0)
word, later = passes(sys.argv[2])
if sys.argv[1] == "passes":  # has it begun?
    sys.exit(word[-1] < 3)
# Of one moment: some pages of this pass, then all others of the one before; one page may be half written.
step = sum(a != b for a, b in zip(word, word[1:]))
half = sum(a != b for a, b in zip(word, later))
print(f"passes {min(word)} to {max(word)}, {step} steps, {half} half-written")
sys.exit(not (word == sorted(word, reverse=True) and max(word) - min(word) <= 1 and step <= 1 and half <= 1))
