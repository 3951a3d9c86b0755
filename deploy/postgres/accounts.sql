-- One account and the database of its name, which nobody else may enter. The variable "account" names both.
\set password `cat "/run/secrets/own/:account.password"`
SELECT format('CREATE ROLE %I', :'account') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'account') \gexec
ALTER ROLE :"account" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I', :'account', :'account')
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'account') \gexec
REVOKE ALL ON DATABASE :"account" FROM PUBLIC;
REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
