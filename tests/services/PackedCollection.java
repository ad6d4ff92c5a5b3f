import de.bwaldvogel.mongo.MongoDatabase;
import de.bwaldvogel.mongo.backend.AbstractSynchronizedMongoCollection;
import de.bwaldvogel.mongo.backend.CollectionOptions;
import de.bwaldvogel.mongo.backend.CursorRegistry;
import de.bwaldvogel.mongo.backend.DocumentWithPosition;
import de.bwaldvogel.mongo.backend.Index;
import de.bwaldvogel.mongo.backend.KeyValue;
import de.bwaldvogel.mongo.backend.Missing;
import de.bwaldvogel.mongo.backend.QueryResult;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.bson.BsonDecoder;
import de.bwaldvogel.mongo.wire.bson.BsonEncoder;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.UUID;
import java.util.stream.Stream;
import org.h2.mvstore.MVMap;

/**
 * Documents as BSON under their ids. As Java objects they take several times the memory, and a page of the file
 * would cost the decoding of all its documents to read one. A scan pays for it: it decodes what it looks at.
 */
final class PackedCollection extends AbstractSynchronizedMongoCollection<Object> {
    private final MVMap<Object, byte[]> documents;

    PackedCollection(
            MongoDatabase database,
            String name,
            CollectionOptions options,
            CursorRegistry cursors,
            MVMap<Object, byte[]> documents) {
        super(database, name, options, cursors);
        this.documents = documents;
    }

    @Override
    protected Object addDocumentInternal(Document document) {
        Object position = getIdField() == null ? UUID.randomUUID() : position(document.get(getIdField()));
        documents.put(position, pack(document));
        return position;
    }

    @Override
    protected void handleUpdate(Object position, Document before, Document after) {
        documents.put(position, pack(after));
    }

    @Override
    protected void removeDocument(Object position) {
        documents.remove(position);
    }

    @Override
    protected Document getDocument(Object position) {
        return unpack(documents.get(position));
    }

    @Override
    public int count() {
        return documents.size();
    }

    /** The library's own would let documents vanish between the index and the look-up. */
    @Override
    public synchronized int count(Document query, int skip, int limit) {
        return super.count(query, skip, limit);
    }

    @Override
    protected Stream<DocumentWithPosition<Object>> streamAllDocumentsWithPosition() {
        return documents.entrySet().stream()
                .map(entry -> new DocumentWithPosition<>(unpack(entry.getValue()), entry.getKey()));
    }

    /** What aggregations read, one by one: the library would hold all documents in memory first. */
    @Override
    public Stream<Document> queryAllAsStream() {
        return documents.values().stream().map(PackedCollection::unpack);
    }

    @Override
    protected QueryResult queryDocuments(
            Document query, Document order, int skip, int limit, int batchSize, Document fields) {
        for (Index<Object> index : getIndexes()) {
            if (index.canHandle(query)) {
                // The library would hold each document found against every value of an $in once more.
                Document rest = answersInFull(index, query) ? new Document() : query;
                return matchDocuments(rest, index.getPositions(query), order, skip, limit, batchSize, fields);
            }
        }
        return matchDocuments(query, order, skip, limit, batchSize, fields);
    }

    private static boolean answersInFull(Index<Object> index, Document query) {
        Object condition = query.values().iterator().next();
        boolean oneCondition = !(condition instanceof Document) || ((Document) condition).size() == 1;
        return (index instanceof HashIndex || index instanceof IdIndex) && query.size() == 1 && oneCondition;
    }

    @Override
    protected QueryResult matchDocuments(
            Document query, Document order, int skip, int limit, int batchSize, Document fields) {
        Stream<Document> all = queryAllAsStream();
        if (isNaturalDescending(order)) {
            List<Object> positions = new ArrayList<>(documents.keySet());
            Collections.reverse(positions);
            all = positions.stream().map(this::getDocument);
        }
        return matchDocumentsFromStream(all, query, order, skip, limit, batchSize, fields);
    }

    /** Fills a hash index in one pass: the library would decode every document twice, once to check it. */
    @Override
    public synchronized void addIndex(Index<Object> index) {
        boolean known = getIndexes().stream().anyMatch(other -> other.getName().equals(index.getName()));
        if (!known && index instanceof HashIndex) {
            streamAllDocumentsWithPosition()
                    .forEach(found -> index.add(found.getDocument(), found.getPosition(), this));
        }
        super.addIndex(index);
    }

    /** The library would encode each document once more to keep a total that hardly anybody asks for. */
    @Override
    protected boolean tracksDataSize() {
        return false;
    }

    @Override
    protected void updateDataSize(int difference) {
        throw new IllegalStateException("the size is not tracked");
    }

    @Override
    protected int getDataSize() {
        return documents.values().stream().mapToInt(packed -> packed.length).sum();
    }

    private static byte[] pack(Document document) {
        ByteBuf buffer = Unpooled.buffer(1024);
        BsonEncoder.encodeDocument(document, buffer);
        return ByteBufUtil.getBytes(buffer);
    }

    private static Document unpack(byte[] packed) {
        return BsonDecoder.decodeBson(Unpooled.wrappedBuffer(packed));
    }

    /** Where the document of that id is stored: one place for 1 and 1.0, which MongoDB takes for the same id. */
    static Object position(Object id) {
        return Missing.ofNullable(normalized(id));
    }

    /** Equal for what MongoDB takes for equal. */
    static Object normalized(Object value) {
        return value instanceof String ? value : new KeyValue(value).normalized().get(0);
    }
}
