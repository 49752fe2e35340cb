"""What a minion may be asked for, so that its answer can be recorded: a list of what is known to only look.

Salt's modules grow, and an argument can make a question an order. So nothing is asked because its name sounds harmless:
what is not in here is not asked. Left out are functions that answer with what may be secret (files, environments,
crontabs, command lines, addresses with passwords), that speak to others than the minion, and that change what they
look at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NOT_LISTED = "it is not known to only look (its answer can be written into returns: by hand)"
BY_ARGUMENTS = "with these arguments it may do more than look"
ACTS = "it may change something (--acting asks it, too)"

_LOOKS: tuple[tuple[str, str], ...] = (
    ("reads tables of the kernel, and the files that name hosts", """
        network.active_tcp network.arp network.default_route network.get_bufsize network.get_fqdn
        network.get_hostname network.get_route network.hw_addr network.ifacestartswith network.in_subnet
        network.interface network.interface_ip network.interfaces network.ip_addrs network.ip_addrs6
        network.ip_neighs network.ip_neighs6 network.ip_networks network.ip_networks6 network.netstat
        network.routes network.subnets network.subnets6
        hosts.get_alias hosts.get_ip hosts.has_pair hosts.list_hosts"""),
    ("asks the name servers, as any program of the minion does", """
        network.fqdns dnsutil.A dnsutil.AAAA dnsutil.MX dnsutil.NS dnsutil.SPF
        dig.A dig.AAAA dig.CNAME dig.MX dig.NS dig.PTR dig.SPF dig.TXT"""),
    ("lists programs, packages and kernel modules", """
        alternatives.check_exists alternatives.check_installed alternatives.show_current
        cmd.has_exec cmd.shells cmd.which cmd.which_bin git.version lvm.version
        kmod.available kmod.is_loaded kmod.lsmod kmod.mod_list
        lowpkg.file_dict lowpkg.file_list lowpkg.info lowpkg.list_pkgs
        pip.freeze pip.is_installed pip.list pip.version
        pkg.file_dict pkg.file_list pkg.info_installed pkg.latest_version pkg.list_pkgs pkg.list_upgrades
        pkg.owner pkg.version test.versions_information test.versions_report"""),
    ("lists services, and counts what runs", """
        ps.boot_time ps.disk_usage ps.get_pid_list ps.num_cpus ps.pgrep ps.total_physical_memory
        ps.virtual_memory service.available service.disabled service.enabled service.get_all
        service.get_disabled service.get_enabled service.get_running service.missing service.status
        status.cpuinfo status.cpustats status.diskstats status.diskusage status.loadavg status.meminfo
        status.netdev status.nproc status.pid status.time status.uptime status.version status.vmstats status.w"""),
    ("reads settings of the system", """
        locale.avail locale.get_locale locale.list_avail selinux.getenforce selinux.getsebool
        selinux.list_sebool sysctl.get sysctl.show system.get_computer_name system.get_system_date_time
        timezone.get_offset timezone.get_zone timezone.get_zonecode timezone.zone_compare"""),
    ("looks at disks and mounts", """
        disk.blkid disk.fstype disk.inodeusage disk.percent disk.usage lvm.lvdisplay lvm.pvdisplay
        lvm.vgdisplay mount.filesystems mount.is_mounted mount.swaps raid.detail raid.list xfs.info"""),
    ("looks at what a file is, and not at what it says", """
        cp.is_cached cp.list_minion file.access file.check_hash file.directory_exists file.diskusage
        file.file_exists file.find file.get_gid file.get_group file.get_hash file.get_mode file.get_sum
        file.get_uid file.get_user file.is_blkdev file.is_chrdev file.is_fifo file.is_hardlink file.is_link
        file.list_backups file.lsattr file.lstat file.path_exists_glob file.readdir file.readlink
        file.stats file.statvfs hashutil.digest_file"""),
    ("names accounts and groups; what may be a password is not recorded", """
        file.gid_to_group file.group_to_gid file.uid_to_user file.user_to_uid group.getent group.info
        user.getent user.info user.list_groups user.list_users user.primary_group"""),
)  # fmt: skip

# Asked with --acting only: templates call these to look, and the minion runs them at each highstate.
_ACTS: tuple[tuple[str, str], ...] = (
    ("runs the command that the template names", """
        cmd.retcode cmd.run cmd.run_all cmd.run_stderr cmd.run_stdout cmd.shell"""),
    ("fetches lists of packages first", """
        pkg.latest_version pkg.list_upgrades pkg.upgrade_available pip.list_upgrades"""),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Limit:
    """Which arguments leave a function harmless. most: positional ones. named: the only ones by name; None: any.

    given: those that have to be there, with this value.
    """

    most: int | None = None
    named: Collection[str] | None = None
    given: Mapping[str, object] = field(default_factory=dict)


_NO_REFRESH = _Limit(given={"refresh": False})
_LIMITS: Mapping[str, _Limit] = {
    # `bin_env` names a program that is run (salt/modules/pip.py).
    "pip.freeze": _Limit(0, ()),
    "pip.version": _Limit(0, ()),
    "pip.is_installed": _Limit(1, ("pkgname",)),
    "pip.list": _Limit(1, ("prefix",)),
    "pip.list_upgrades": _Limit(0, ()),
    # They fetch the lists of packages unless told not to (salt/modules/aptpkg.py, yumpkg.py).
    "pkg.latest_version": _NO_REFRESH,
    "pkg.list_upgrades": _Limit(0, None, {"refresh": False}),
    # `delete` and `exec`, also as words in any place (salt/utils/find.py); `grep` tells what a file says.
    "file.find": _Limit(1, ("path", "name", "iname", "regex", "iregex", "type", "owner", "group", "size",
                            "mtime", "print", "maxdepth", "mindepth")),
}  # fmt: skip


def _names(groups: Sequence[tuple[str, str]]) -> frozenset[str]:
    return frozenset(name for _, names in groups for name in names.split())


LOOKING, ACTING = _names(_LOOKS), _names(_ACTS)


def reason(
    function: str, args: Sequence[Any], kwargs: Mapping[str, Any], *, acting: bool
) -> str | None:
    """Why a minion is not asked for this call; None where it is. acting: also what may change something."""
    if acting and function in ACTING:
        return None
    if function not in LOOKING:
        return ACTS if function in ACTING else NOT_LISTED
    limit = _LIMITS.get(function, _Limit())
    named = {key: value for key, value in kwargs.items() if key not in limit.given}
    fits = (
        (limit.most is None or len(args) <= limit.most)
        and (limit.named is None or set(named) <= set(limit.named))
        and all(kwargs.get(key) is value for key, value in limit.given.items())
    )
    return None if fits else ACTS if function in ACTING else BY_ARGUMENTS


def groups() -> Iterator[tuple[str, list[str]]]:
    """The list for people: why, and the functions."""
    for why, names in _LOOKS:
        yield why, sorted(names.split())
    for why, names in _ACTS:
        yield f"{why} (--acting)", sorted(names.split())
