include:
  - mariadb
