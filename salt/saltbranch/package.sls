{% from 'saltbranch/map.jinja' import saltbranch with context %}

saltbranch-git:
  pkg.installed:
    - name: git

# No bin_env: the minion on the master shares Salt's Python with it, and from a onedir
# Salt calls its own salt-pip.
saltbranch-package:
  pip.installed:
    - name: {{ saltbranch.requirement | json }}
    - require:
      - pkg: saltbranch-git

saltbranch-command:
  file.managed:
    - name: {{ saltbranch.command }}
    - mode: '0755'
    - contents: |
        #!/bin/sh
        # Managed by Salt (state saltbranch.package).
        exec {{ saltbranch.python }} -I -m saltbranch "$@"
    - require:
      - pip: saltbranch-package
