BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE charges (
	job_id VARCHAR NOT NULL, 
	revision INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	book VARCHAR NOT NULL, 
	meter VARCHAR NOT NULL, 
	provider VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	attributes JSON NOT NULL, 
	state VARCHAR NOT NULL, 
	reason TEXT NOT NULL, 
	instances INTEGER NOT NULL, 
	consumed_quantity VARCHAR NOT NULL, 
	consumed_unit VARCHAR NOT NULL, 
	pricing_quantity VARCHAR, 
	pricing_unit VARCHAR, 
	unit_price VARCHAR, 
	list_cost VARCHAR, 
	currency VARCHAR, 
	rate_id VARCHAR, 
	certainty VARCHAR NOT NULL, 
	disputed JSON, 
	CONSTRAINT pk_charges PRIMARY KEY (job_id, revision, position)
);
INSERT INTO "charges" VALUES('AJ_EHyHgS3uDFxx',1,0,'cost','agent_session','self-hosted','','{}','priced','',1,'39.753696','second','39.753696','second','0','0','USD','self-hosted/*/agent_session','exact','null');
INSERT INTO "charges" VALUES('AJ_EHyHgS3uDFxx',1,1,'cost','downstream_data','self-hosted','','{}','priced','',1,'866827','byte','0.000866827','GB','0','0','USD','self-hosted/*/downstream_data','partial','null');
INSERT INTO "charges" VALUES('AJ_EHyHgS3uDFxx',1,2,'cost','participant_connection','self-hosted','','{"kind": "agent"}','priced','',1,'39.753908','second','39.753908','second','0','0','USD','self-hosted/*/participant_connection','exact','null');
INSERT INTO "charges" VALUES('AJ_EHyHgS3uDFxx',1,3,'cost','participant_connection','self-hosted','','{"kind": "webrtc"}','priced','',4,'101.246702','second','101.246702','second','0','0','USD','self-hosted/*/participant_connection','exact','null');
INSERT INTO "charges" VALUES('AJ_EHyHgS3uDFxx',1,4,'cost','stt_audio','faster-whisper','tiny.en','{}','priced','',5,'39.264','second','39.264','second','0','0','USD','faster-whisper/*/stt_audio','exact','null');
CREATE TABLE claims (
	instance_id VARCHAR NOT NULL, 
	meter VARCHAR NOT NULL, 
	job_id VARCHAR NOT NULL, 
	CONSTRAINT pk_claims PRIMARY KEY (instance_id, meter), 
	CONSTRAINT fk_claims_job_id FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
INSERT INTO "claims" VALUES('127.0.0.1:43995/PA_FQ43RthxCBGd/1795246139043','participant_connection','AJ_EHyHgS3uDFxx');
INSERT INTO "claims" VALUES('127.0.0.1:43995/PA_Hiq9FT42p5nW/1795246115754','participant_connection','AJ_EHyHgS3uDFxx');
INSERT INTO "claims" VALUES('127.0.0.1:43995/PA_Jy7qWoKjy8HY/1795246124662','participant_connection','AJ_EHyHgS3uDFxx');
INSERT INTO "claims" VALUES('127.0.0.1:43995/PA_cL5yuJqLjaAw/1795246116396','participant_connection','AJ_EHyHgS3uDFxx');
INSERT INTO "claims" VALUES('127.0.0.1:43995/PA_s5i2tvBwpAZb/1795246116135','participant_connection','AJ_EHyHgS3uDFxx');
INSERT INTO "claims" VALUES('faster-whisper/speech_0cd783d3124a48de','stt_audio','AJ_EHyHgS3uDFxx');
INSERT INTO "claims" VALUES('faster-whisper/speech_12833de873c540a9','stt_audio','AJ_EHyHgS3uDFxx');
INSERT INTO "claims" VALUES('faster-whisper/speech_14cf8d1740dd4d7b','stt_audio','AJ_EHyHgS3uDFxx');
INSERT INTO "claims" VALUES('faster-whisper/speech_d1aa63f81d8847b9','stt_audio','AJ_EHyHgS3uDFxx');
INSERT INTO "claims" VALUES('faster-whisper/speech_fcb84abd86ab4666','stt_audio','AJ_EHyHgS3uDFxx');
INSERT INTO "claims" VALUES('run_ffaa06ea63154477b924a543b5eb7afe/agent_session','agent_session','AJ_EHyHgS3uDFxx');
INSERT INTO "claims" VALUES('run_ffaa06ea63154477b924a543b5eb7afe/downstream_data','downstream_data','AJ_EHyHgS3uDFxx');
CREATE TABLE jobs (
	job_id VARCHAR NOT NULL, 
	dispatch_id VARCHAR NOT NULL, 
	room_name TEXT NOT NULL, 
	room_sid VARCHAR NOT NULL, 
	agent_name TEXT NOT NULL, 
	tenant TEXT NOT NULL, 
	title TEXT NOT NULL, 
	tags JSON NOT NULL, 
	hosting VARCHAR NOT NULL, 
	"plan" VARCHAR NOT NULL, 
	started_at VARCHAR NOT NULL, 
	CONSTRAINT pk_jobs PRIMARY KEY (job_id)
);
INSERT INTO "jobs" VALUES('AJ_EHyHgS3uDFxx','AD_WMZYJbqfLxtw','tallyroom-demo-6355da','RM_vXpSDruAXBc5','transcriber','demo','Tallyroom''s demo','[]','self','none','2026-11-21T07:28:36.059Z');
CREATE TABLE journal_parts (
	run_id VARCHAR NOT NULL, 
	start INTEGER NOT NULL, 
	length INTEGER NOT NULL, 
	content TEXT NOT NULL, 
	shipped_at VARCHAR NOT NULL, 
	CONSTRAINT pk_journal_parts PRIMARY KEY (run_id, start)
);
CREATE TABLE people (
	pseudonym VARCHAR NOT NULL, 
	identity TEXT NOT NULL, 
	name TEXT NOT NULL, 
	CONSTRAINT pk_people PRIMARY KEY (pseudonym), 
	UNIQUE (identity)
);
INSERT INTO "people" VALUES('person_bae30c9b35f5407d','agent-AJ_EHyHgS3uDFxx','Transcriber');
INSERT INTO "people" VALUES('person_0dd3722be0324162','alice','Alice');
INSERT INTO "people" VALUES('person_ed65d88762164b75','bob','Bob');
INSERT INTO "people" VALUES('person_edb3b29ab00647d2','carol','Carol');
CREATE TABLE ratings (
	job_id VARCHAR NOT NULL, 
	revision INTEGER NOT NULL, 
	rate_card VARCHAR NOT NULL, 
	hosting VARCHAR NOT NULL, 
	"plan" VARCHAR NOT NULL, 
	rated_at VARCHAR NOT NULL, 
	CONSTRAINT pk_ratings PRIMARY KEY (job_id, revision), 
	CONSTRAINT fk_ratings_job_id FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
INSERT INTO "ratings" VALUES('AJ_EHyHgS3uDFxx',1,'2026-06-02+a45466856732','self','none','2026-11-21T07:29:16.360Z');
CREATE TABLE runs (
	run_id VARCHAR NOT NULL, 
	job_id VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	error TEXT NOT NULL, 
	started_at VARCHAR NOT NULL, 
	ended_at VARCHAR NOT NULL, 
	damaged_lines INTEGER NOT NULL, 
	CONSTRAINT pk_runs PRIMARY KEY (run_id), 
	CONSTRAINT fk_runs_job_id FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
INSERT INTO "runs" VALUES('run_ffaa06ea63154477b924a543b5eb7afe','AJ_EHyHgS3uDFxx','complete','','2026-11-21T07:28:36.059Z','2026-11-21T07:29:15.888Z',0);
CREATE TABLE usage (
	run_id VARCHAR NOT NULL, 
	instance_id VARCHAR NOT NULL, 
	meter VARCHAR NOT NULL, 
	job_id VARCHAR NOT NULL, 
	provider VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	attributes JSON NOT NULL, 
	participant VARCHAR, 
	purpose VARCHAR NOT NULL, 
	quantity VARCHAR NOT NULL, 
	unit VARCHAR NOT NULL, 
	certainty VARCHAR NOT NULL, 
	quantity_lower VARCHAR, 
	quantity_upper VARCHAR, 
	provider_stated VARCHAR, 
	provider_ref VARCHAR, 
	started_at VARCHAR NOT NULL, 
	ended_at VARCHAR NOT NULL, 
	source VARCHAR NOT NULL, 
	CONSTRAINT pk_usage PRIMARY KEY (run_id, instance_id, meter), 
	CONSTRAINT fk_usage_run_id FOREIGN KEY(run_id) REFERENCES runs (run_id), 
	CONSTRAINT fk_usage_job_id FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
INSERT INTO "usage" VALUES('run_ffaa06ea63154477b924a543b5eb7afe','faster-whisper/speech_0cd783d3124a48de','stt_audio','AJ_EHyHgS3uDFxx','faster-whisper','tiny.en','{}','person_0dd3722be0324162','captions','7.648','second','exact',NULL,NULL,NULL,'speech_0cd783d3124a48de','2026-11-21T07:28:37.413Z','2026-11-21T07:28:45.061Z','plugin');
INSERT INTO "usage" VALUES('run_ffaa06ea63154477b924a543b5eb7afe','127.0.0.1:43995/PA_cL5yuJqLjaAw/1795246116396','participant_connection','AJ_EHyHgS3uDFxx','self-hosted','','{"kind": "webrtc"}','person_edb3b29ab00647d2','','16.114253','second','exact',NULL,NULL,NULL,NULL,'2026-11-21T07:28:36.396Z','2026-11-21T07:28:52.510Z','room');
INSERT INTO "usage" VALUES('run_ffaa06ea63154477b924a543b5eb7afe','faster-whisper/speech_fcb84abd86ab4666','stt_audio','AJ_EHyHgS3uDFxx','faster-whisper','tiny.en','{}','person_edb3b29ab00647d2','captions','7.232','second','exact',NULL,NULL,NULL,'speech_fcb84abd86ab4666','2026-11-21T07:28:45.428Z','2026-11-21T07:28:52.660Z','plugin');
INSERT INTO "usage" VALUES('run_ffaa06ea63154477b924a543b5eb7afe','faster-whisper/speech_14cf8d1740dd4d7b','stt_audio','AJ_EHyHgS3uDFxx','faster-whisper','tiny.en','{}','person_ed65d88762164b75','captions','5.92','second','exact',NULL,NULL,NULL,'speech_14cf8d1740dd4d7b','2026-11-21T07:28:53.956Z','2026-11-21T07:28:59.876Z','plugin');
INSERT INTO "usage" VALUES('run_ffaa06ea63154477b924a543b5eb7afe','faster-whisper/speech_d1aa63f81d8847b9','stt_audio','AJ_EHyHgS3uDFxx','faster-whisper','tiny.en','{}','person_0dd3722be0324162','captions','11.264','second','exact',NULL,NULL,NULL,'speech_d1aa63f81d8847b9','2026-11-21T07:29:01.348Z','2026-11-21T07:29:12.612Z','plugin');
INSERT INTO "usage" VALUES('run_ffaa06ea63154477b924a543b5eb7afe','faster-whisper/speech_12833de873c540a9','stt_audio','AJ_EHyHgS3uDFxx','faster-whisper','tiny.en','{}','person_edb3b29ab00647d2','captions','7.2','second','exact',NULL,NULL,NULL,'speech_12833de873c540a9','2026-11-21T07:29:07.599Z','2026-11-21T07:29:14.799Z','plugin');
INSERT INTO "usage" VALUES('run_ffaa06ea63154477b924a543b5eb7afe','127.0.0.1:43995/PA_FQ43RthxCBGd/1795246139043','participant_connection','AJ_EHyHgS3uDFxx','self-hosted','','{"kind": "webrtc"}','person_edb3b29ab00647d2','','15.805483','second','exact',NULL,NULL,NULL,NULL,'2026-11-21T07:28:59.043Z','2026-11-21T07:29:14.848Z','room');
INSERT INTO "usage" VALUES('run_ffaa06ea63154477b924a543b5eb7afe','127.0.0.1:43995/PA_Jy7qWoKjy8HY/1795246124662','participant_connection','AJ_EHyHgS3uDFxx','self-hosted','','{"kind": "webrtc"}','person_ed65d88762164b75','','30.20655','second','exact',NULL,NULL,NULL,NULL,'2026-11-21T07:28:44.662Z','2026-11-21T07:29:14.868Z','room');
INSERT INTO "usage" VALUES('run_ffaa06ea63154477b924a543b5eb7afe','127.0.0.1:43995/PA_Hiq9FT42p5nW/1795246115754','participant_connection','AJ_EHyHgS3uDFxx','self-hosted','','{"kind": "webrtc"}','person_0dd3722be0324162','','39.120416','second','exact',NULL,NULL,NULL,NULL,'2026-11-21T07:28:35.754Z','2026-11-21T07:29:14.874Z','room');
INSERT INTO "usage" VALUES('run_ffaa06ea63154477b924a543b5eb7afe','run_ffaa06ea63154477b924a543b5eb7afe/agent_session','agent_session','AJ_EHyHgS3uDFxx','self-hosted','','{}',NULL,'','39.753696','second','exact',NULL,NULL,NULL,NULL,'2026-11-21T07:28:36.135Z','2026-11-21T07:29:15.888Z','room');
INSERT INTO "usage" VALUES('run_ffaa06ea63154477b924a543b5eb7afe','run_ffaa06ea63154477b924a543b5eb7afe/downstream_data','downstream_data','AJ_EHyHgS3uDFxx','self-hosted','','{}',NULL,'','866827','byte','partial',NULL,NULL,NULL,NULL,'2026-11-21T07:28:36.185Z','2026-11-21T07:29:15.888Z','room');
INSERT INTO "usage" VALUES('run_ffaa06ea63154477b924a543b5eb7afe','127.0.0.1:43995/PA_s5i2tvBwpAZb/1795246116135','participant_connection','AJ_EHyHgS3uDFxx','self-hosted','','{"kind": "agent"}','person_bae30c9b35f5407d','','39.753908','second','exact',NULL,NULL,NULL,NULL,'2026-11-21T07:28:36.135Z','2026-11-21T07:29:15.888Z','room');
CREATE INDEX ix_jobs_started_at ON jobs (started_at);
CREATE INDEX ix_jobs_tenant ON jobs (tenant);
CREATE INDEX ix_runs_job_id ON runs (job_id);
CREATE INDEX ix_usage_job_id ON usage (job_id);
CREATE INDEX ix_usage_ended_at ON usage (ended_at);
CREATE INDEX ix_claims_job_id ON claims (job_id);
CREATE INDEX ix_journal_parts_shipped_at ON journal_parts (shipped_at);
COMMIT;
