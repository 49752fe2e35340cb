{% from 'saltenvs.jinja' import here with context %}

nginx:
  sites:
    www:
      server_name: www.{{ here.domain }}
      port: 80
    status:
      server_name: status.{{ here.domain }}
      port: 8080
