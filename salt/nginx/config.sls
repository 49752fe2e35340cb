# One server block and one document root for each site in the pillar key nginx:sites.
{% from 'common/paths.jinja' import prefix with context %}
{% from 'nginx/map.jinja' import nginx with context %}

{% for name, site in pillar['nginx']['sites'].items() %}
{% set root = prefix ~ nginx.www_dir ~ '/' ~ name %}
nginx-site-{{ name }}:
  file.managed:
    - name: {{ prefix }}{{ nginx.conf_dir }}/{{ name }}.conf
    - source: salt://nginx/files/site.conf.j2
    - template: jinja
    - makedirs: True
    - mode: '0644'
    - context:
        site: {{ site | json }}
        root: {{ root }}

nginx-index-{{ name }}:
  file.managed:
    - name: {{ root }}/index.html
    - source: salt://nginx/files/index.html.j2
    - template: jinja
    - makedirs: True
    - mode: '0644'
    - context:
        site: {{ site | json }}
{% endfor %}
