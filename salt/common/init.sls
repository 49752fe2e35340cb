# What every minion gets.
{% from 'common/paths.jinja' import prefix with context %}

motd:
  file.managed:
    - name: {{ prefix }}/etc/motd
    - source: salt://common/files/motd.j2
    - template: jinja
    - makedirs: True
    - mode: '0644'

{% if not prefix %}
common-packages:
  pkg.installed:
    - pkgs: {{ pillar['common']['packages'] | json }}
{% endif %}
