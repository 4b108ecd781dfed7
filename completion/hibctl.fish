# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
#
# fish completion for hibctl(8). It runs no program, and reads no more than names.

# The words of the line that are no options, up to the cursor, without the program's name.
function __hibctl_words
    set -l words (commandline -opc)
    set -e words[1]
    set -l value 0
    for word in $words
        if test $value = 1
            set value 0
        else if contains -- $word --root --image --device --offset --kernel --initrd --plan --store --modules --scripts --initramfs --hook --hooks --timeout
            set value 1
        else if not string match -q -- '-?*' $word
            echo -- $word
        end
    end
end

function __hibctl_needs_command
    test (count (__hibctl_words)) -eq 0
end

# Whether the command is one of these.
function __hibctl_command
    set -l words (__hibctl_words)
    test (count $words) -gt 0; and contains -- $words[1] $argv
end

# Devices by their tags, as the kernel's links name them; those with odd characters are left out.
function __hibctl_devices
    set -l disks /dev/disk
    set -q _hibctl_disks; and set disks $_hibctl_disks
    for kind in uuid partuuid label partlabel
        for link in $disks/by-$kind/*
            set -l name (string replace -r '.*/' '' -- $link)
            string match -qr '^[0-9A-Za-z._-]+$' -- $name; and echo (string upper $kind)=$name
        end
    end
    __fish_complete_path (commandline -ct | string replace -r '^--[a-z-]*=' '')
end

function __hibctl_initrds
    echo none
    __fish_complete_path (commandline -ct | string replace -r '^--[a-z-]*=' '')
end

function __hibctl_hooks
    for hook in /etc/hibctl/setup.d/*
        test -f $hook; and string replace -r '.*/' '' -- $hook
    end
end

set -g __hibctl_verbs list get set unset create verify

# The words behind "env", with the block, "-" if it is left out, as the first; nothing behind any other command.
function __hibctl_env_words
    set -l words (__hibctl_words)
    test "$words[1]" = env; or return
    set -e words[1]
    if test (count $words) -gt 0; and contains -- $words[1] $__hibctl_verbs
        set -p words -
    end
    string join \n -- $words
end

function __hibctl_env_needs_verb
    __hibctl_command env; and test (count (__hibctl_env_words)) -lt 2
end

function __hibctl_env_verb
    set -l words (__hibctl_env_words)
    test (count $words) -ge 2; and contains -- $words[2] $argv
end

# The names in the environment block, with $argv behind each.
function __hibctl_variables
    set -l words (__hibctl_env_words)
    set -l file $words[1]
    test "$file" = -; and set file /boot/grub/grubenv
    test -e "$file"; or set file /boot/grub2/grubenv
    test -f "$file"; and test -r "$file"; or return
    while read -l line
        string match -qr '^[0-9A-Za-z_]+=' -- $line; and echo (string replace -r '=.*' '' -- $line)"$argv"
    end <$file
end

complete -c hibctl -f

complete -c hibctl -n __hibctl_needs_command -a status -d 'say what the next power-on will do, and why'
complete -c hibctl -n __hibctl_needs_command -a mark -d 'arm: the next power-on resumes, once'
complete -c hibctl -n __hibctl_needs_command -a cancel -d 'disarm: the next power-on boots normally'
complete -c hibctl -n __hibctl_needs_command -a settle -d 'clear a mark that is spent or stale'
complete -c hibctl -n __hibctl_needs_command -a check -d 'say whether hibernating will work here'
complete -c hibctl -n __hibctl_needs_command -a setup -d 'make GRUB ask for marks: slot, module and menu'
complete -c hibctl -n __hibctl_needs_command -a prepare -d 'write a plan for a save kernel'
complete -c hibctl -n __hibctl_needs_command -a locate -d 'find devices, after running the setup hooks'
complete -c hibctl -n __hibctl_needs_command -a resume -d 'in the load kernel: hand the image to the kernel'
complete -c hibctl -n __hibctl_needs_command -a env -d 'manage a GRUB environment block'
complete -c hibctl -n __hibctl_needs_command -a sleep -d 'for sleep hooks: mark before hibernating, settle afterwards'

complete -c hibctl -l json -d 'print results as JSON'
complete -c hibctl -s q -l quiet -d 'say errors only'
complete -c hibctl -s v -l verbose -d 'say each step'
complete -c hibctl -s h -l help -d 'show help'
complete -c hibctl -n __hibctl_needs_command -l root -x -a '(__fish_complete_directories)' -d 'work on the system below a folder'
complete -c hibctl -n __hibctl_needs_command -s V -l version -d 'show the version'

complete -c hibctl -n '__hibctl_command mark prepare' -l image -x -a '(__hibctl_devices)' -d 'device that holds the image'
complete -c hibctl -n '__hibctl_command mark prepare resume' -l offset -x -d 'where the swap area starts, in pages'
complete -c hibctl -n '__hibctl_command mark prepare' -l kernel -r -F -d 'kernel to resume with'
complete -c hibctl -n '__hibctl_command mark prepare' -l initrd -x -a '(__hibctl_initrds)' -d 'its initial ramdisk, or none'
complete -c hibctl -n '__hibctl_command mark prepare locate resume' -l plan -r -F -d 'the plan for a save kernel'
complete -c hibctl -n '__hibctl_command mark' -l store -x -a 'env efi bootbits' -d 'where to write the mark'
complete -c hibctl -n '__hibctl_command mark' -l check-image -d 'with a plan, look whether the image is there'
complete -c hibctl -n '__hibctl_command settle' -l at-boot -d 'the system has just been started'
complete -c hibctl -n '__hibctl_command mark' -l boot-next -d 'start the boot entry of this time once more'
complete -c hibctl -n '__hibctl_command mark setup prepare resume' -s n -l dry-run -d 'change nothing, say what would be done'

complete -c hibctl -n '__hibctl_command cancel' -l discard-image -d 'also put the swap signature back'
complete -c hibctl -n '__hibctl_command cancel' -l hibernate-location -d 'also delete the EFI variable of systemd'

complete -c hibctl -n '__hibctl_command check' -l modules -x -a '(__fish_complete_directories)' -d 'compare the module with that of a folder'

complete -c hibctl -n '__hibctl_command setup' -l remove -d 'undo what setup did'
complete -c hibctl -n '__hibctl_command setup' -l modules -x -a '(__fish_complete_directories)' -d 'take the module from a folder'
complete -c hibctl -n '__hibctl_command setup' -l scripts -x -a '(__fish_complete_directories)' -d 'take the scripts for grub.d from a folder'

complete -c hibctl -n '__hibctl_command prepare' -l unmount -d 'unmount the boot filesystem'
complete -c hibctl -n '__hibctl_command prepare' -l lasting -d 'for the initramfs of load kernels'
complete -c hibctl -n '__hibctl_command prepare' -l initramfs -r -F -d 'put the plan into this initramfs too'
complete -c hibctl -n '__hibctl_command prepare' -l hook -x -a '(__hibctl_hooks)' -d 'arguments for a setup hook'

complete -c hibctl -n '__hibctl_command locate resume' -l timeout -x -d 'seconds to wait'
complete -c hibctl -n '__hibctl_command locate' -l hooks -x -a '(__fish_complete_directories)' -d 'folder of the setup hooks'
complete -c hibctl -n '__hibctl_command locate' -a '(__hibctl_devices)'
complete -c hibctl -n '__hibctl_command resume' -l device -x -a '(__hibctl_devices)' -d 'device that holds the image'

complete -c hibctl -n '__hibctl_command sleep; and test (count (__hibctl_words)) -eq 1' -a 'pre post check'
complete -c hibctl -n '__hibctl_command sleep; and test (count (__hibctl_words)) -eq 2' -a 'hibernate hybrid-sleep'

complete -c hibctl -n __hibctl_env_needs_verb -a list -d 'print all variables'
complete -c hibctl -n __hibctl_env_needs_verb -a get -d 'print the values of single variables'
complete -c hibctl -n __hibctl_env_needs_verb -a set -d 'set variables'
complete -c hibctl -n __hibctl_env_needs_verb -a unset -d 'remove variables'
complete -c hibctl -n __hibctl_env_needs_verb -a create -d 'make an empty block, or empty one'
complete -c hibctl -n __hibctl_env_needs_verb -a verify -d 'look for damage'
complete -c hibctl -n '__hibctl_command env; and test (count (__hibctl_env_words)) -eq 0' -F
complete -c hibctl -n '__hibctl_env_verb get unset' -a '(__hibctl_variables)'
complete -c hibctl -n '__hibctl_env_verb set' -a '(__hibctl_variables =)'
