{% from 'saltbranch/map.jinja' import saltbranch, timer_check with context %}

include:
  - saltbranch.config
  - saltbranch.package

# Makes what is missing (mirror, checkouts, top files, master configuration) and changes nothing else.
saltbranch-first-sync:
  cmd.run:
    - name: {{ saltbranch.command }} sync --quiet
    - onchanges:
      - file: saltbranch-config
      - pip: saltbranch-package
    - require:
      - file: saltbranch-command

saltbranch-timer:
  cmd.run:
    - name: {{ saltbranch.command }} install {{ saltbranch.timer }}
    - unless: {{ timer_check | json }}
    - require:
      - cmd: saltbranch-first-sync

# A master reads its roots when it starts, and a restart in working hours is a person's decision:
# saltbranch:restart_master in the pillar.
{% if saltbranch.restart_master %}
salt-master:
  service.running:
    - enable: True
    - watch:
      - file: saltbranch-config
    - require:
      - cmd: saltbranch-first-sync
{% endif %}

# Shown in the job's result; what doctor finds does not fail the run.
saltbranch-doctor:
  cmd.run:
    - name: {{ saltbranch.command }} doctor
    - success_retcodes:
      - 1
    - onchanges:
      - file: saltbranch-config
      - pip: saltbranch-package
    - order: last
