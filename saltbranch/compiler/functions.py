"""What becomes of an execution function that a template calls: one table, read by the compiler and people.

A function that `computes` needs nothing but its arguments, grains, pillar and options; one that `reads`
needs files of the tree. Both are really called, in the sandbox. One that `asks` would speak of the machine
that compiles, and one that `acts` must not be called: these answer from the minion's recorded `returns`,
or neutrally, as does whatever is not in here.

An argument in parentheses is one that has to be given; in the class `reads` it is a path, which has to
be ``salt://`` or inside of the tree. Without it the function asks the host.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Class = Literal["computes", "reads", "asks", "acts"]
LISTS = "the names of the files of the saltenv"

_GROUPS: tuple[tuple[Class, str, str], ...] = (
    ("computes", "from its arguments alone", """
        network.calc_net network.convert_cidr network.ip_in_subnet network.iphexval network.is_loopback
        network.is_private network.reverse_ip dnsutil.check_ip dig.check_ip
        file.basename file.dirname file.join file.normpath file.pardir
        hashutil.base64_b64decode hashutil.base64_b64encode hashutil.base64_decodestring
        hashutil.base64_encodestring hashutil.digest hashutil.github_signature hashutil.hmac_compute
        hashutil.hmac_signature hashutil.md5_digest hashutil.sha256_digest hashutil.sha512_digest
        slsutil.banner slsutil.boolstr slsutil.deserialize slsutil.merge slsutil.merge_all
        slsutil.serialize slsutil.update defaults.deepcopy defaults.update
        random.hash random.str_encode match.filter_by config.manage_mode config.valid_fileproto
        out.html_format out.out_format out.string_format pkg.parse_arch lowpkg.version_cmp
        test.arg test.arg_clean test.arg_repr test.arg_type test.attr_call test.collatz test.echo
        test.false test.fib test.kwarg test.not_loaded test.ping test.true"""),
    ("computes", "from its arguments; dpkg's order of versions is ours", "pkg.version_cmp"),
    ("computes", "from its arguments, once they say where chance begins", """
        random.rand_int(seed) random.sample(seed) random.shuffle(seed)
        random.shadow_hash(crypt_salt,password)"""),
    ("computes", "from grains, pillar and options", """
        config.backup_mode config.dot_vals config.get config.items config.merge config.option
        grains.equals grains.filter_by grains.get grains.has_value grains.item grains.items grains.ls
        pillar.data pillar.ext pillar.filter_by pillar.get pillar.item pillar.items pillar.keys
        pillar.ls pillar.obfuscate pillar.raw
        match.compound match.glob match.grain match.grain_pcre match.ifelse match.ipcidr match.list
        match.pcre match.pillar match.pillar_pcre match.search_by
        pkg.normalize_name random.seed test.get_opts test.opts_pkg"""),
    ("computes", "from Salt itself", """
        baredoc.list_modules baredoc.list_states baredoc.module_docs baredoc.state_docs
        sys.argspec sys.doc sys.list_functions sys.list_modules sys.list_renderers
        sys.list_state_functions sys.list_state_modules sys.renderer_doc sys.state_argspec sys.state_doc
        salt_version.equal salt_version.get_release_number salt_version.greater_than salt_version.less_than
        test.version"""),
    ("computes", "no job runs while compiling", "saltutil.is_running"),
    ("computes", "writes to a log that nobody reads", """
        log.critical log.debug log.error log.exception log.info log.warning"""),
    ("reads", LISTS, """
        cp.cache_dir(path) cp.get_dir(path) cp.list_master cp.list_master_dirs cp.list_master_symlinks
        cp.list_states slsutil.dir_exists slsutil.file_exists slsutil.findup slsutil.path_exists
        state.id_exists state.sls_exists"""),
    ("reads", "files of the saltenv", """
        cp.cache_file(path) cp.cache_files cp.envs cp.get_file(path) cp.get_file_str(path)
        cp.get_template(path) cp.get_url(path) cp.hash_file(path) cp.stat_file(path)
        defaults.get defaults.merge jinja.import_json jinja.import_yaml jinja.load_map
        pillar.file_exists slsutil.renderer(path) file.apply_template_on_contents"""),
    ("reads", "a file, where it is one of the tree", """
        file.access(path) file.contains(path) file.contains_glob(path) file.contains_regex(path)
        file.directory_exists(path) file.file_exists(path) file.get_hash(path) file.get_sum(path)
        file.is_link(path) file.read(path) file.readdir(path)
        hashutil.base64_encodefile(fname) hashutil.digest_file(infile)"""),
    ("asks", "what network the host has", """
        network.active_tcp network.arp network.connect network.default_route network.dig network.fqdns
        network.get_bufsize network.get_fqdn network.get_hostname network.get_route network.hw_addr
        network.ifacestartswith network.in_subnet network.interface network.interface_ip
        network.interfaces network.ip_addrs network.ip_addrs6 network.ip_neighs network.ip_neighs6
        network.ip_networks network.ip_networks6 network.netstat network.ping network.routes
        network.subnets network.subnets6 network.traceroute
        dig.A dig.AAAA dig.CNAME dig.MX dig.NS dig.PTR dig.SPF dig.TXT
        dnsutil.A dnsutil.AAAA dnsutil.MX dnsutil.NS dnsutil.SPF dnsutil.serial
        hosts.get_alias hosts.get_ip hosts.has_pair hosts.list_hosts http.query"""),
    ("asks", "what is installed and runs on the host", """
        alternatives.check_exists alternatives.check_installed alternatives.show_current
        cmd.has_exec cmd.shell_info cmd.shells cmd.which cmd.which_bin
        cron.get_entry cron.list_tab cron.raw_cron kmod.available kmod.is_loaded kmod.lsmod kmod.mod_list
        lowpkg.file_dict lowpkg.file_list lowpkg.info lowpkg.list_pkgs
        pip.freeze pip.is_installed pip.list pip.list_upgrades pip.version
        pkg.file_dict pkg.file_list pkg.get_repo pkg.info_installed pkg.latest_version pkg.list_pkgs
        pkg.list_repos pkg.list_upgrades pkg.owner pkg.upgrade_available pkg.version
        ps.boot_time ps.disk_usage ps.get_pid_list ps.num_cpus ps.pgrep ps.total_physical_memory
        ps.virtual_memory selinux.getenforce selinux.getsebool selinux.list_sebool
        service.available service.disabled service.enabled service.get_all service.get_disabled
        service.get_enabled service.get_running service.missing service.show service.status
        status.all_status status.cpuinfo status.cpustats status.diskstats status.diskusage status.loadavg
        status.meminfo status.netdev status.nproc status.pid status.procs status.time status.uptime
        status.version status.vmstats status.w sysctl.get sysctl.show
        system.get_computer_name system.get_system_date_time timezone.get_offset timezone.get_zone
        timezone.get_zonecode timezone.zone_compare test.versions_information
        test.versions_report locale.avail locale.get_locale locale.list_avail"""),
    ("asks", "who and what is on the host", """
        disk.blkid disk.fstype disk.inodeusage disk.percent disk.usage
        environ.get environ.has_value environ.item environ.items
        file.check_hash file.diskusage file.find file.get_gid file.get_group file.get_mode file.get_uid
        file.get_user file.gid_to_group file.grep file.group_to_gid file.is_blkdev file.is_chrdev
        file.is_fifo file.is_hardlink file.list_backups file.lsattr file.lstat file.path_exists_glob
        file.readlink file.stats file.statvfs file.uid_to_user file.user_to_uid
        git.config_get git.current_branch git.is_worktree git.list_branches git.list_tags git.ls_remote
        git.remotes git.rev_parse git.revision git.status git.version
        group.getent group.info
        lvm.lvdisplay lvm.pvdisplay lvm.version lvm.vgdisplay
        mount.active mount.filesystems mount.fstab mount.is_mounted mount.swaps
        raid.detail raid.list shadow.info ssh.auth_keys ssh.check_known_host ssh.get_known_host_entries
        ssh.host_keys ssh.recv_known_host_entries ssh.user_keys
        user.getent user.info user.list_groups user.list_users user.primary_group
        xfs.info"""),
    ("asks", "others than the minion itself", """
        cp.is_cached cp.list_minion match.data data.get data.items data.keys etcd.get etcd.ls etcd.tree
        mine.get mine.valid publish.full_data publish.publish publish.runner saltutil.runner saltutil.running
        sdb.get sdb.get_or_set_hash status.master status.ping_master"""),
    ("asks", "chance", """
        random.get_str test.rand_str test.random_hash"""),
    ("acts", "runs a program", """
        cmd.exec_code cmd.exec_code_all cmd.powershell cmd.powershell_all cmd.retcode cmd.run cmd.run_all
        cmd.run_bg cmd.run_chroot cmd.run_stderr cmd.run_stdout cmd.script cmd.script_retcode cmd.shell"""),
    ("acts", "changes the host", """
        archive.tar archive.unzip cp.push cp.recv data.update environ.setenv environ.setval file.append
        file.chown file.copy file.makedirs file.mkdir file.move file.remove file.rename file.replace
        file.set_mode file.symlink file.touch file.write git.checkout git.clone git.pull
        grains.append grains.delkey grains.delval grains.remove grains.set grains.setval grains.setvals
        group.add group.delete group.members hashutil.base64_decodefile hosts.add_host hosts.set_host kmod.load
        mine.delete mine.flush mine.send mount.mount mount.umount network.mod_bufsize
        network.mod_hostname pip.install pkg.install pkg.purge pkg.refresh_db pkg.remove pkg.upgrade
        sdb.set service.disable service.enable service.reload service.restart service.start service.stop
        ssh.set_auth_key ssh.set_known_host state.apply state.highstate state.single state.sls
        sysctl.assign sysctl.persist sys.reload_modules timezone.set_zone user.add user.delete"""),
    ("acts", "tells others", """
        event.fire event.fire_master event.send http.wait_for_successful_query
        saltutil.refresh_grains saltutil.refresh_modules saltutil.refresh_pillar saltutil.sync_all
        saltutil.sync_grains saltutil.sync_modules"""),
)  # fmt: skip

_VALUES: Mapping[str, Any] = {
    "cmd.has_exec": False, "cmd.retcode": 0, "cmd.script_retcode": 0,
    "cmd.run": "", "cmd.shell": "", "file.readlink": "", "group.info": {}, "user.info": {},
    "network.get_hostname": "", "network.ip_addrs": [], "network.ip_addrs6": [], "service.available": False,
    "cmd.run_all": {"pid": 0, "retcode": 0, "stdout": "", "stderr": ""},
    "cmd.which": None, "cmd.which_bin": None, "cp.list_minion": [], "data.get": None,
    "dnsutil.MX": [], "dnsutil.NS": [], "dnsutil.SPF": [], "environ.get": "",
    "etcd.get": "", "etcd.ls": {}, "etcd.tree": {}, "file.is_hardlink": False,
    "http.query": {"body": "", "dict": {}, "headers": {}, "status": 0, "text": ""},
    "lowpkg.list_pkgs": {}, "mine.get": {}, "network.hw_addr": "", "network.interface": [],
    "network.interface_ip": "", "network.interfaces": {}, "network.subnets": [], "network.subnets6": [],
    "pkg.file_dict": {}, "pkg.file_list": {}, "pkg.latest_version": "", "pkg.list_pkgs": {},
    "pkg.list_upgrades": {}, "pkg.version": "", "publish.runner": {}, "saltutil.runner": {}, "sdb.get": "",
    "random.rand_int": 0, "random.sample": [], "random.shuffle": [], "selinux.getsebool": {}, "service.status": False,
    "status.cpuinfo": {}, "status.cpustats": {}, "status.diskstats": {}, "status.meminfo": {},
    "status.loadavg": {"1-min": 0.0, "5-min": 0.0, "15-min": 0.0},
    "status.netdev": {}, "status.nproc": 0, "status.vmstats": {}, "status.w": [],
}  # fmt: skip
"""Neutral answers where Salt's source does not tell the type, or where a template needs more than that."""


@dataclass(frozen=True, slots=True)
class Function:
    """What is known of one. why: for people. needs: parameters without which it is answered."""

    kind: Class
    why: str
    needs: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether it is really called, its arguments permitting."""
        return self.kind in ("computes", "reads")


def _read() -> Iterator[tuple[str, Function]]:
    for kind, why, names in _GROUPS:
        for word in names.split():
            name, _, needs = word.rstrip(")").partition("(")
            yield name, Function(kind, why, tuple(filter(None, needs.split(","))))


TABLE: Mapping[str, Function] = dict(_read())


def value_of(function: str) -> tuple[bool, Any]:
    """Whether there is a neutral answer in here for `function`, and a copy of it."""
    return function in _VALUES, copy.deepcopy(_VALUES.get(function))


def groups() -> Iterator[tuple[Class, str, list[str]]]:
    """The table for people: class, reason, and the functions with what they need."""
    for kind, why, names in _GROUPS:
        yield kind, why, sorted(names.split())
