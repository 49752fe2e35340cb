common:
  motd: Questions go to ops@example.com.
  packages:
    - lsof
    - rsync
    - tmux
