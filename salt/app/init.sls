# The settings of the application itself; how it gets onto the machine is not Salt's business.
{% from 'common/paths.jinja' import prefix with context %}

app-config:
  file.managed:
    - name: {{ prefix }}/etc/app/app.ini
    - source: salt://app/files/app.ini.j2
    - template: jinja
    - makedirs: True
    - mode: '0600'
    # The file holds a token: no diff of it in the job cache.
    - show_changes: False
