"""Which of a master's options change how pillar or states come out, and what becomes of each.

Every option of Salt's master is in one of three lists: what is taken over into the sandbox, what is not
and is said where it is set, and what changes nothing of what is compiled.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

TAKEN_OVER = (
    "allow_undefined", "decrypt_pillar", "decrypt_pillar_default", "decrypt_pillar_delimiter",
    "decrypt_pillar_renderers", "disabled_requisites", "ext_pillar_first", "failhard", "features",
    "file_ignore_glob", "file_ignore_regex", "hash_type",
    "jinja_env", "jinja_lstrip_blocks", "jinja_sls_env", "jinja_trim_blocks", "nodegroups",
    "pillar_includes_override_sls", "pillar_merge_lists", "pillar_raise_on_missing",
    "pillar_source_merging_strategy", "renderer", "renderer_blacklist", "renderer_whitelist",
    "state_aggregate", "state_auto_order", "stateconf_end_marker", "stateconf_goal_state",
    "stateconf_start_state", "stateconf_state_func", "use_yamlloader_old",
)  # fmt: skip
"""As they are. `ext_pillar` is taken over as far as saltbranch.yaml names it."""

NAMED: Mapping[str, str] = {
    "default_top": "where it is not base, states of another saltenv may come in",
    "extmod_blacklist": "all of the branch's modules are loaded",
    "extmod_whitelist": "all of the branch's modules are loaded",
    "fileserver_backend": "only the files of the branch itself are served",
    "master_tops": "top data from outside of the repository is not queried",
    "module_dirs": "the master's own modules are not loaded while the pillar is compiled",
    "pass_dir": "the renderer pass finds no store",
    "pillar_opts": "the master's options are not put into the pillar, below `master`",
    "state_top": "top.sls is the top file",
    "state_top_saltenv": "the top file is that of the minion's own saltenv",
    "top_file_merging_strategy": "each minion has one saltenv, so nothing is merged",
    "utils_dirs": "the master's own utils are not loaded while the pillar is compiled",
}
"""What is not taken over, and what that means where it is set."""

_HARMLESS: Mapping[str, Any] = {
    "fileserver_backend": ("roots",),
    "default_top": ("base",),
    "state_top": ("top.sls", "salt://top.sls"),
    "top_file_merging_strategy": ("merge",),
}
"""Values that come to the same as not being set; so does Salt's own folder in `utils_dirs`."""

IRRELEVANT: tuple[tuple[str, str], ...] = (
    ("where the compiled tree, its saltenv and the sandbox's folders stand instead", """
        cachedir conf_file config_dir default_include extension_modules file_client file_roots local
        local_state lock_saltenv master_roots pidfile pillar_roots pillarenv pillarenv_from_saltenv pki_dir
        queue_dirs root_dir saltenv sock_dir sqlite_queue_dir user use_master_when_local id minion_id grains
        pillar __role _caller_cachedir autoload_dynamic_modules saltversion resource_type"""),
    ("as our own option file sets them: links are followed", """
        fileserver_followsymlinks fileserver_ignoresymlinks"""),
    ("how fast something is found again", """
        con_cache fileserver_list_cache_time gpg_cache gpg_cache_backend gpg_cache_ttl memcache_*
        minion_data_cache* pillar.cache_driver pillar_cache* preserve_minion_cache cache
        file_buffer_size optimization_order"""),
    ("one saltenv and one top file for each minion", "env_order master_tops_first"),
    ("external pillar is asked as saltbranch.yaml says", """
        ext_pillar on_demand_ext_pillar exclude_ext_pillar pass_to_ext_pillars git_pillar_* ssh_merge_pillar
        __git_pillar"""),
    ("a value that is not deciphered is noted, and errors are told by their kind", """
        gpg_decrypt_must_succeed gpg_keydir pillar_safe_render_error pillar_mask_output pillar_version"""),
    ("other file servers, of which `fileserver_backend` tells", """
        gitfs_* hgfs_* svnfs_* s3fs_* minionfs_* fileserver_* roots_update_interval __fs_update"""),
    ("details of the renderer pass, see `pass_dir`", "pass_gnupghome pass_strict_fetch pass_variable_prefix"),
    ("range targets ask a server, which is not there", "range_server"),
    ("modules of other kinds than those that compiling loads", """
        outputter_dirs runner_dirs cython_enable enable_gpu_grains"""),
    ("the run of states, and what is told of it", """
        clean_dynamic_modules multiprocessing shell state_events state_max_parallel state_output*
        state_verbose test"""),
    ("the master's network, keys, processes, jobs, logs and interfaces", """
        allow_minion_key_revoke archive_jobs auth_* auto_accept cache_sreqs cli_summary client_acl_verify
        cluster_* detect_remote_minions disable_aes_with_tls discovery django_* drop_messages_* dummy_pub
        eauth_* enable_ssh_minions enforce_mine_cache engines event_* ext_job_cache external_auth file_recv*
        fips_mode gather_job_timeout http_* interface ipc_* ipv6 job_cache* keep_* key* log_* loop_interval
        maintenance_* master_async_mworker master_job_cache master_mworker_max_inflight master_pubkey_signature
        master_sign_* master_stats* master_type master_uri master_use_pubkey_signature max_* metrics
        min_extra_mods minimum_auth_version mworker_* netapi_* open_mode order_masters peer permissive_*
        ping_on_rotate pub_* publish_* publisher_acl* reactor* regen_thin remote_minions_port
        req_server_niceness request_server_* require_minion_sign_messages ret_port rotate_aes_key
        runner_returns salt_cp_chunk_size schedule search serial show_* sign_pub_messages signing_key_pass
        sock_pool_size ssh_* ssl sudo_acl syndic_* tcp_* thin_* thorium_* thoriumenv timeout token_*
        tracing transport unique_jid use_os_truststore verify_env winrepo_* worker_* zmq_*"""),
)  # fmt: skip


def class_of(option: str) -> list[str]:
    """The lists that `option` is in: one, if this file is right."""
    found = [
        name for name, known in (("taken over", TAKEN_OVER), ("named", NAMED)) if option in known
    ]
    if not found and any(
        fnmatch.fnmatchcase(option, pattern) for _, names in IRRELEVANT for pattern in names.split()
    ):
        found.append("irrelevant")
    return found


def not_taken_over(opts: Mapping[str, Any]) -> Iterator[str]:
    """A line for each option that is set, counts and is not taken over."""
    for option, meaning in NAMED.items():
        value = opts.get(option)
        # Salt has lists of its own.
        values = [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
        harmless = {*_HARMLESS.get(option, ()), f"{opts.get('extension_modules')}/utils"}
        if value and not {str(v) for v in values} <= harmless:
            yield f"{option}: of the master is not taken over: {meaning}"
