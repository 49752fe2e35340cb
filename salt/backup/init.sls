# A nightly dump of whatever the roles name in the pillar key backup:dumps.
{% from 'common/paths.jinja' import prefix with context %}

backup-script:
  file.managed:
    - name: {{ prefix }}/etc/cron.daily/backup
    - source: salt://backup/files/backup.sh.j2
    - template: jinja
    - makedirs: True
    - mode: '0755'
