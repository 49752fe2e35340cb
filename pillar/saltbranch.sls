# saltbranch's own configuration, for the state saltbranch on the salt-master.
saltbranch:
  # What pip installs into Salt's Python: a name with a version, a wheel or a URL.
  requirement: saltbranch
  # systemd, cron or schedule
  timer: systemd
  restart_master: False
  # Becomes /etc/salt/saltbranch.yaml.
  config:
    remote: git@git.example.com:ops/salt.git
    root: /srv/saltbranch
    states_dir: salt
    pillar_dir: pillar
    # Where formulas may come from, each pinned by a submodule.
    submodules: ['git@git.example.com:formulas']
    master_config: /etc/salt/master.d/saltbranch.conf
    saltenvs:
      test:
        branch: develop
        minions: ['test*']
      stage:
        branch: stage
        promote_from: test
        minions: ['stage*']
      prod:
        branch: master
        promote_from: stage
        protected: True
        # The master's own minion is production, too.
        minions: ['prod*', 'master*']

backup:
  dumps:
    salt-keys: tar -cf - /etc/salt/pki
