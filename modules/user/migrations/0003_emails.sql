-- Emails were kept in lower case only. Those with letters beyond ASCII may be one address in two spellings:
-- they are written anew in their canonical spelling when the service starts (`respellEmails`).
alter table people add column email_canonical boolean not null default true;
update people set email_canonical = false where email ~ '[^ -~]';
create index people_email_respell on people (id) where not email_canonical;
