include:
  - app
  - nginx
