{% from 'common/paths.jinja' import prefix with context %}
{% from 'mariadb/map.jinja' import mariadb with context %}

mariadb-config:
  file.managed:
    # 99-: read after what the package brings.
    - name: {{ prefix }}{{ mariadb.conf_dir }}/99-salt.cnf
    - source: salt://mariadb/files/server.cnf.j2
    - template: jinja
    - makedirs: True
    - mode: '0644'
