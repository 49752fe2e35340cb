{% from 'common/paths.jinja' import prefix with context %}
{% from 'saltbranch/map.jinja' import saltbranch with context %}

saltbranch-config:
  file.managed:
    - name: {{ prefix }}/etc/salt/saltbranch.yaml
    - source: salt://saltbranch/files/saltbranch.yaml.j2
    - template: jinja
    - makedirs: True
    # The remote's URL is nobody else's business.
    - mode: '0640'
    {%- if not prefix %}
    - group: {{ saltbranch.group }}
    {%- endif %}
    - context:
        config: {{ saltbranch.config | json }}
